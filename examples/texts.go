package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"

	"github.com/joinery/faas"
)

// The functions of the demo's workflow: split a directory of texts into pieces, count
// the words of each piece, merge the counts, write a report.

// jsonFunction makes a function from In to Out one that reads and writes JSON.
func jsonFunction[In, Out any](f func(In) (Out, error)) faas.Invoker {
	return faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		body, err := req.Body.ReadAll(16 << 20)
		if err != nil {
			return nil, err
		}
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return &faas.Response{Status: http.StatusBadRequest, Body: faas.String(err.Error())}, nil
		}
		out, err := f(in)
		if err != nil {
			return nil, err
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return nil, err
		}
		return &faas.Response{Header: http.Header{"Content-Type": {"application/json"}}, Body: faas.Bytes(answer)}, nil
	})
}

// pieceSize is about how long a piece is, in bytes.
const pieceSize = 64 << 10

type splitInput struct {
	Directory string `json:"directory"`
}

// split cuts every text of a directory into pieces that end at the end of a line.
func split(in splitInput) (pieces []string, err error) {
	err = fs.WalkDir(files, path.Join("testdata", in.Directory), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		for err == nil && len(text) > 0 {
			end := min(pieceSize, len(text))
			if line := bytes.LastIndexByte(text[:end], '\n'); line >= 0 && end < len(text) {
				end = line + 1
			}
			pieces = append(pieces, string(text[:end]))
			text = text[end:]
		}
		return err
	})
	return pieces, err
}

type counts struct {
	Words  int            `json:"words"`
	Counts map[string]int `json:"counts"`
}

var word = regexp.MustCompile(`[a-z]+`)

// count counts the words of one piece.
func count(piece string) (counts, error) {
	c := counts{Counts: map[string]int{}}
	for _, w := range word.FindAllString(string(bytes.ToLower([]byte(piece))), -1) {
		c.Words++
		c.Counts[w]++
	}
	return c, nil
}

type summary struct {
	Pieces   int        `json:"pieces"`
	Words    int        `json:"words"`
	Distinct int        `json:"distinct"`
	Top      []frequent `json:"top"`
}

type frequent struct {
	Word  string `json:"word"`
	Count int    `json:"count"`
}

// merge adds up the counts of all pieces.
func merge(pieces []counts) (summary, error) {
	s := summary{Pieces: len(pieces)}
	all := map[string]int{}
	for _, p := range pieces {
		s.Words += p.Words
		for w, n := range p.Counts {
			all[w] += n
		}
	}
	s.Distinct = len(all)
	words := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), cmp.Compare(a, b))
	})
	for _, w := range words[:min(5, len(words))] {
		s.Top = append(s.Top, frequent{w, all[w]})
	}
	return s, nil
}

// report puts a summary into words.
func report(s summary) (string, error) {
	text := fmt.Sprintf("%d words, %d of them distinct, in %d pieces; the most frequent:", s.Words, s.Distinct, s.Pieces)
	for _, f := range s.Top {
		text += fmt.Sprintf(" %s (%d)", f.Word, f.Count)
	}
	return text, nil
}
