package boltregistry

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"os"
)

// pages checks the page structure of a bbolt file (format 2) before bbolt is let near it:
// bbolt trusts what it maps into memory, panics or faults over what is not true, and would
// write over pages in use if its list of free ones is wrong. Every page must be reached exactly
// once, from the root or from that list, and every element must lie within its page. Whether the
// records are right is for their own checksums to say.
type pages struct {
	data []byte
	size uint64 // of a page
	high uint64 // number of pages in use or free
	seen map[uint64]bool
}

// The layout: a page is its id (8), flags (2), count (2), overflow (4), and then its elements.
const (
	pageHeader  = 16
	elementSize = 16 // of a branch: position, key size, page (8); of a leaf: flags, position, key size, value size

	flagBranch, flagLeaf, flagFree = 0x01, 0x02, 0x10

	bucketHead = 16 // page (8), sequence (8)

	metaMagic = 0xED0CDAED
	metaSize  = 56 // what its checksum covers; 8 bytes of FNV-1a follow
)

var u16, u32, u64 = binary.NativeEndian.Uint16, binary.NativeEndian.Uint32, binary.NativeEndian.Uint64

// checkPages returns ErrCorrupt for a file that bbolt must not open. The caller holds its lock.
func checkPages(path string, pageSize int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	p := &pages{data: data, size: uint64(pageSize), seen: make(map[uint64]bool)}
	if err := p.check(); err != nil {
		return corrupt("pages", "%w", err)
	}
	return nil
}

func (p *pages) check() error {
	root, free, err := p.meta()
	if err != nil {
		return err
	}
	if err := p.freelist(free); err != nil {
		return err
	}
	if err := p.tree(root); err != nil {
		return err
	}
	for id := uint64(2); id < p.high; id++ {
		if !p.seen[id] {
			return fmt.Errorf("page %d is neither in use nor free", id)
		}
	}
	return nil
}

// meta reads the two root pages, which bbolt writes in turn. It falls back to the older one when the
// newer does not match its checksum. That is right for a commit that was cut off, and loses the last
// commit when the page was damaged later. The two cannot be told apart, but the root fits
// into one disk sector, which is written whole or not at all: so a damaged one is corruption.
func (p *pages) meta() (root, free uint64, err error) {
	var latest []byte
	for i := range uint64(2) {
		at := i*p.size + pageHeader
		if uint64(len(p.data)) < at+metaSize+8 {
			return 0, 0, fmt.Errorf("root page %d is cut off", i)
		}
		m := p.data[at : at+metaSize+8]
		h := fnv.New64a()
		h.Write(m[:metaSize])
		if u32(m) != metaMagic || h.Sum64() != u64(m[metaSize:]) {
			return 0, 0, fmt.Errorf("root page %d does not match its checksum", i)
		}
		if latest == nil || u64(m[48:]) > u64(latest[48:]) { // the transaction
			latest = m
		}
	}
	p.high = u64(latest[40:])
	if size := uint64(len(p.data)); p.high > size/p.size {
		return 0, 0, fmt.Errorf("the file is cut off: it has %d of %d pages", size/p.size, p.high)
	}
	return u64(latest[16:]), u64(latest[32:]), nil
}

// page claims a page with its overflow and returns it.
func (p *pages) page(id uint64, flag uint16) ([]byte, error) {
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("page %d is out of range", id)
	}
	b := p.data[id*p.size:]
	overflow := uint64(u32(b[12:]))
	if u64(b) != id || u16(b[8:]) == 0 || u16(b[8:])&^flag != 0 || overflow >= p.high-id {
		return nil, fmt.Errorf("page %d has the header of another", id)
	}
	for i := id; i <= id+overflow; i++ {
		if err := p.claim(i); err != nil {
			return nil, err
		}
	}
	return b[:(overflow+1)*p.size], nil
}

func (p *pages) claim(id uint64) error {
	if p.seen[id] {
		return fmt.Errorf("page %d is used twice", id)
	}
	p.seen[id] = true
	return nil
}

// freelist claims the free pages and those that hold their list.
func (p *pages) freelist(id uint64) error {
	b, err := p.page(id, flagFree)
	if err != nil {
		return err
	}
	count, ids := uint64(u16(b[10:])), b[pageHeader:]
	if count == math.MaxUint16 { // then the first id is the count
		count, ids = u64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d lists %d free pages and has no room for them", id, count)
	}
	for i := range count {
		free := u64(ids[8*i:])
		if free < 2 || free >= p.high {
			return fmt.Errorf("page %d is free and out of range", free)
		}
		if err := p.claim(free); err != nil {
			return err
		}
	}
	return nil
}

// tree claims a page and everything below it.
func (p *pages) tree(id uint64) error {
	b, err := p.page(id, flagBranch|flagLeaf)
	if err != nil {
		return err
	}
	if u16(b[8:]) == flagBranch {
		return p.branch(b)
	}
	return p.leaf(b)
}

func (p *pages) branch(b []byte) error {
	count := int(u16(b[10:]))
	if count == 0 || pageHeader+count*elementSize > len(b) {
		return fmt.Errorf("page %d has %d branches", u64(b), count)
	}
	for i := range count {
		e := b[pageHeader+i*elementSize:]
		if end := uint64(u32(e)) + uint64(u32(e[4:])); end > uint64(len(e)) {
			return fmt.Errorf("page %d: key %d is out of range", u64(b), i)
		}
		if err := p.tree(u64(e[8:])); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a page of records and buckets, which may be one within a record.
func (p *pages) leaf(b []byte) error {
	count := 0
	if len(b) >= pageHeader {
		count = int(u16(b[10:]))
	}
	if len(b) < pageHeader+count*elementSize || u16(b[8:]) != flagLeaf {
		return fmt.Errorf("a page of %d bytes is no leaf of %d elements", len(b), count)
	}
	for i := range count {
		e := b[pageHeader+i*elementSize:]
		value := uint64(u32(e[4:])) + uint64(u32(e[8:]))
		end := value + uint64(u32(e[12:]))
		if end > uint64(len(e)) {
			return fmt.Errorf("element %d of a leaf is out of range", i)
		}
		if u32(e)&1 == 0 {
			continue // a record, no bucket
		}
		if end-value < bucketHead {
			return fmt.Errorf("a bucket of %d bytes", end-value)
		}
		var err error
		if root := u64(e[value:]); root == 0 {
			err = p.leaf(e[value+bucketHead : end])
		} else {
			err = p.tree(root)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
