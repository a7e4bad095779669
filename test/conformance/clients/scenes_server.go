// An origin with a path for each scene, by HTTP/1.1 and by HTTP/2 without TLS.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

var large = bytes.Repeat([]byte("0123456789abcdef"), 1<<17)

// Requests that were given up by their client, by the key of their query.
var gone sync.Map

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/204", func(reply http.ResponseWriter, _ *http.Request) { reply.WriteHeader(204) })
	mux.HandleFunc("/redirect", func(reply http.ResponseWriter, request *http.Request) {
		http.Redirect(reply, request, "/echo?redirected", 307)
	})
	mux.HandleFunc("/large", func(reply http.ResponseWriter, request *http.Request) {
		reply.Header().Set("Etag", `"v1"`)
		http.ServeContent(reply, request, "large.bin", time.Unix(1700000000, 0), bytes.NewReader(large))
	})
	mux.HandleFunc("/gzip", func(reply http.ResponseWriter, _ *http.Request) {
		reply.Header().Set("Content-Encoding", "gzip")
		writer := gzip.NewWriter(reply)
		writer.Write(large[:4096])
		writer.Close()
	})
	mux.HandleFunc("/trailers", func(reply http.ResponseWriter, _ *http.Request) {
		reply.Header().Set("Trailer", "X-Sum")
		io.WriteString(reply, "content")
		reply.(http.Flusher).Flush()
		reply.Header().Set("X-Sum", "42")
	})
	mux.HandleFunc("/early", func(reply http.ResponseWriter, _ *http.Request) {
		reply.Header().Set("Link", "</a.css>; rel=preload")
		reply.WriteHeader(103)
		io.WriteString(reply, "late")
	})
	mux.HandleFunc("/slow", func(reply http.ResponseWriter, request *http.Request) {
		reply.(http.Flusher).Flush()
		<-request.Context().Done()
		gone.Store(request.URL.RawQuery, true)
	})
	mux.HandleFunc("/gone", func(reply http.ResponseWriter, request *http.Request) {
		_, isGone := gone.Load(request.URL.RawQuery)
		fmt.Fprint(reply, isGone)
	})
	mux.HandleFunc("/refuse", func(reply http.ResponseWriter, _ *http.Request) {
		http.Error(reply, "too much", 413)
	})
	mux.HandleFunc("/ws", socket)
	mux.HandleFunc("/containers/x/attach", attach)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: mux, Protocols: protocols}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}

func echo(reply http.ResponseWriter, request *http.Request) {
	content, err := io.ReadAll(request.Body)
	reply.Header().Set("X-Method", request.Method)
	trailer := request.Trailer.Get("X-Sum")
	fmt.Fprintf(reply, "%s %s %d %v %s", request.Method, request.RequestURI, len(content), err, trailer)
}

// As the Docker Engine: it sends before it has read anything, and goes on after the client has ended its side.
func attach(reply http.ResponseWriter, request *http.Request) {
	connection, buffered, err := reply.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprint(connection, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"+
		"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nready;")
	content, _ := io.ReadAll(buffered)
	fmt.Fprintf(connection, "%d bytes: %s", len(content), content)
}

// What comes after the handshake goes back as it came.
func socket(reply http.ResponseWriter, request *http.Request) {
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	connection, buffered, err := reply.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	io.Copy(connection, buffered)
}
