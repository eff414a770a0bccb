package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/bench/loop"
	"github.com/joinery/faas/internal/platform"
)

const (
	warmRounds = 7
	warmSlice  = 500 * time.Millisecond
)

// warmProcess measures warm calls to a process, with the router in this process,
// beside a bare net/http client that calls the same process over the same socket.
func warmProcess() ([]Figure, error) {
	p, ref, socket, err := startEcho(platform.Config{})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	header := http.Header{"Content-Type": {"application/json"}}
	product := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		resp, err := p.Router.Invoke(ctx, &faas.Request{Function: ref, Path: "/echo", Header: header, Body: faas.Bytes(frontBody)})
		if err != nil {
			return err
		}
		got, err := resp.Body.ReadAll(0)
		return check(resp.StatusCode(), got, err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dialUnix(socket), MaxIdleConnsPerHost: 1024}}
	defer client.CloseIdleConnections()
	baseline := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://echo.default/echo", bytes.NewReader(frontBody))
		if err != nil {
			return err
		}
		req.Header["Content-Type"] = header["Content-Type"]
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return check(resp.StatusCode, got, err)
	}

	var p50, latency, rate []float64
	for round := range warmRounds + 1 {
		one, err1 := loop.Repeat(product, 1, warmSlice)
		oneBase, err2 := loop.Repeat(baseline, 1, warmSlice)
		many, err3 := loop.Repeat(product, 16, warmSlice)
		manyBase, err4 := loop.Repeat(baseline, 16, warmSlice)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, err
		}
		if round == 0 {
			continue // warm-up
		}
		p50 = append(p50, float64(one.P50.Nanoseconds())/1e3)
		latency = append(latency, float64(one.P50)/float64(oneBase.P50))
		rate = append(rate, many.Rate/manyBase.Rate)
	}
	return []Figure{
		{Name: "warm-process-p50", Value: median(p50), Unit: "us"},
		{Name: "warm-process-p50-ratio", Value: median(latency), Unit: "x-of-net/http", Op: "<=", Bound: 1.15},
		{Name: "warm-process-rate-ratio", Value: median(rate), Unit: "x-of-net/http", Op: ">=", Bound: 0.9},
	}, nil
}

func check(status int, got []byte, err error) error {
	if err == nil && (status != http.StatusOK || !bytes.Equal(got, frontBody)) {
		err = fmt.Errorf("wrong response %d %q", status, got)
	}
	return err
}
