package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
)

// throughRouter is a call of the echo function with the router in this process.
func throughRouter(p *platform.Platform, ref faas.Ref) func() error {
	header := http.Header{"Content-Type": {"application/json"}}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		resp, err := p.Router.Invoke(ctx, &faas.Request{Function: ref, Path: "/echo", Header: header, Body: faas.Bytes(frontBody)})
		if err != nil {
			return err
		}
		got, err := resp.Body.ReadAll(0)
		return check(resp.StatusCode(), got, err)
	}
}

// overSocket is the same call by a bare net/http client at the instance's own socket, until done is called.
func overSocket(socket string) (call func() error, done func()) {
	contentType := []string{"application/json"}
	client := &http.Client{Transport: &http.Transport{DialContext: dialUnix(socket), MaxIdleConnsPerHost: 1024}}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://echo.default/echo", bytes.NewReader(frontBody))
		if err != nil {
			return err
		}
		req.Header["Content-Type"] = contentType
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return check(resp.StatusCode, got, err)
	}, client.CloseIdleConnections
}

func check(status int, got []byte, err error) error {
	if err == nil && (status != http.StatusOK || !bytes.Equal(got, frontBody)) {
		err = fmt.Errorf("wrong response %d %q", status, got)
	}
	return err
}
