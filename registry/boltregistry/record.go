package boltregistry

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"time"

	"github.com/joinery/faas"
)

// The buckets. Every value is a CRC-32C over bucket, key and payload, and then the payload, because
// bbolt itself checks nothing but its header. The header bucket counts records and adds their sums, so
// that a record that is missing altogether is seen too.
var (
	bucketHeader    = []byte("header")    // "header" → header
	bucketFunctions = []byte("functions") // namespace/name → the last version number given, 8 bytes
	bucketVersions  = []byte("versions")  // namespace/name@ and 8 bytes of number → versionRecord
	bucketAliases   = []byte("aliases")   // namespace/name@alias → aliasRecord
	bucketEvents    = []byte("events")    // 8 bytes of revision → eventRecord

	content = [][]byte{bucketFunctions, bucketVersions, bucketAliases, bucketEvents}
)

const format = 1

type header struct {
	Format   int           `json:"format"`
	Revision faas.Revision `json:"revision"`
	// Records is the number of records in the other buckets, Sum the sum of their checksums.
	Records, Sum uint64
}

type versionRecord struct {
	Spec     faas.Spec     `json:"spec"`
	Created  time.Time     `json:"created"`
	Revision faas.Revision `json:"revision"`
}

type aliasRecord struct {
	Target   string        `json:"target"`
	Revision faas.Revision `json:"revision"`
}

type eventRecord struct {
	Kind   string `json:"kind"`
	Ref    string `json:"ref"`
	Target string `json:"target,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(bucket, key, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

func seal(bucket, key, payload []byte) []byte {
	v := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(payload)), checksum(bucket, key, payload))
	return append(v, payload...)
}

// unseal returns the payload and its checksum.
func unseal(bucket, key, value []byte) ([]byte, uint32, error) {
	if len(value) < 4 {
		return nil, 0, corrupt(string(bucket), "the record %q has %d bytes", key, len(value))
	}
	sum, payload := binary.BigEndian.Uint32(value), value[4:]
	if checksum(bucket, key, payload) != sum {
		return nil, 0, corrupt(string(bucket), "the record %q does not match its checksum", key)
	}
	return payload, sum, nil
}

func decode(bucket, key, payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return corrupt(string(bucket), "the record %q cannot be decoded: %w", key, err)
	}
	return nil
}

// encode cannot fail: the types hold nothing that JSON does not know, and a Spec was validated.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("boltregistry: " + err.Error())
	}
	return b
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// functionKey is namespace/name; the keys of versions and aliases go on with '@'.
func functionKey(ref faas.Ref) []byte { return []byte(ref.Unversioned().String()) }

func versionKey(ref faas.Ref, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(functionKey(ref), '@'), n)
}

func corrupt(part, text string, args ...any) error {
	return faas.Errorf("registry", "read", part, faas.ErrCorrupt, text, args...)
}
