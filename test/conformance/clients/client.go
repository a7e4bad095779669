// Scenes with Go's net/http; prints "scene<TAB>what came" for each. Arguments: http1|h2c, basic|full, base URL.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"time"
)

var base = os.Args[3]
var client = &http.Client{Timeout: 20 * time.Second}

type fields map[string]string

func main() {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(os.Args[1] == "http1")
	protocols.SetUnencryptedHTTP2(os.Args[1] == "h2c")
	client.Transport = &http.Transport{Protocols: protocols, ExpectContinueTimeout: 5 * time.Second}
	ask("get", "GET", "/echo?a=b", nil, nil)
	ask("odd characters", "GET", "/echo?filter=a|b&q={x}&m[]=^&p=50%", nil, nil)
	ask("head", "HEAD", "/echo", nil, nil)
	ask("content of a length", "POST", "/echo", strings.NewReader("hello"), nil)
	ask("content without a length", "POST", "/echo", io.MultiReader(strings.NewReader("hello")), nil)
	ask("large upload", "PUT", "/echo", bytes.NewReader(make([]byte, 1<<20)), nil)
	ask("expect", "PUT", "/echo", strings.NewReader("hello"), fields{"Expect": "100-continue"})
	ask("delete", "DELETE", "/echo", nil, nil)
	reuse()
	if os.Args[2] == "basic" {
		return
	}
	ask("204", "GET", "/204", nil, nil)
	ask("redirect", "POST", "/redirect", strings.NewReader("again"), nil)
	ask("large", "GET", "/large", nil, nil)
	ask("range", "GET", "/large", nil, fields{"Range": "bytes=10-29"})
	ask("304", "GET", "/large", nil, fields{"If-None-Match": `"v1"`})
	ask("gzip", "GET", "/gzip", nil, fields{"Accept-Encoding": "gzip"})
	ask("trailers", "GET", "/trailers", nil, nil)
	ask("refused upload", "POST", "/refuse", strings.NewReader("hello"), fields{"Expect": "100-continue"})
	sentTrailers()
	early()
	giveUp()
	if os.Args[1] == "http1" {
		hijack()
	}
}

func ask(scene, method, path string, content io.Reader, more fields) {
	request, err := http.NewRequest(method, base+path, content)
	if err != nil {
		fmt.Printf("%s\terror %T\n", scene, err)
		return
	}
	for name, value := range more {
		request.Header.Set(name, value)
	}
	tell(scene, request)
}

func tell(scene string, request *http.Request) {
	response, err := client.Do(request)
	if err != nil {
		fmt.Printf("%s\terror %v\n", scene, err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	shown := string(content)
	if len(shown) > 100 {
		shown = fmt.Sprintf("%d %x", len(content), sha256.Sum256(content))
	}
	header := response.Header
	fmt.Printf("%s\t%s %d %q %v %q %q %q %v %q\n", scene, response.Proto, response.StatusCode, shown, err,
		header.Get("Content-Type"), header.Get("Content-Range"), header.Get("Content-Encoding"),
		response.ContentLength, response.Trailer.Get("X-Sum"))
}

// Three requests, one connection.
func reuse() {
	reused := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			reused++
		}
	}}
	for range 3 {
		request, _ := http.NewRequest("GET", base+"/echo", nil)
		response, err := client.Do(request.WithContext(httptrace.WithClientTrace(context.Background(), trace)))
		if err != nil {
			fmt.Printf("reuse\terror %v\n", err)
			return
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	fmt.Printf("reuse\t%d\n", reused)
}

func sentTrailers() {
	request, _ := http.NewRequest("POST", base+"/echo", io.MultiReader(strings.NewReader("hello")))
	request.Trailer = http.Header{"X-Sum": []string{"7"}}
	tell("sent trailers", request)
}

func early() {
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, header.Get("Link")))
		return nil
	}}
	request, _ := http.NewRequest("GET", base+"/early", nil)
	tell("early hints", request.WithContext(httptrace.WithClientTrace(context.Background(), trace)))
	fmt.Printf("the hints\t%v\n", hints)
}

// As docker attach does: a POST that becomes a raw stream, one side of which ends before the other.
func hijack() {
	told := func(what any) { fmt.Printf("hijack\t%v\n", what) }
	connection, err := net.DialTimeout("tcp", strings.TrimPrefix(base, "http://"), 5*time.Second)
	if err != nil {
		told(err)
		return
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	request, _ := http.NewRequest("POST", base+"/containers/x/attach?stream=1", nil)
	request.Header.Set("Content-Type", "text/plain")
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	request.Write(connection)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		told(err)
		return
	}
	connection.Write([]byte("to the container"))
	connection.(*net.TCPConn).CloseWrite()
	content, err := io.ReadAll(reader)
	told(fmt.Sprintf("%s %s %s %q %v", response.Status, response.Header.Get("Upgrade"),
		response.Header.Get("Content-Type"), content, err))
}

// The origin is told that nobody waits any more.
func giveUp() {
	key := fmt.Sprint(time.Now().UnixNano())
	given, cancel := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(given, "GET", base+"/slow?"+key, nil)
	response, err := client.Do(request)
	cancel()
	if err == nil {
		response.Body.Close()
	}
	isGone := ""
	for until := time.Now().Add(10 * time.Second); isGone != "true" && time.Now().Before(until); {
		if answer, err := client.Get(base + "/gone?" + key); err == nil {
			content, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			isGone = string(content)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Printf("given up\t%s\n", isGone)
}
