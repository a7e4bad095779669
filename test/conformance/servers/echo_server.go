// Tells on its standard output what Go's net/http read: one JSON object a request.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
)

type seen struct {
	Port   int    `json:"port"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Bytes  int    `json:"bytes"`
}

func main() {
	handler := func(reply http.ResponseWriter, request *http.Request) {
		content, err := io.ReadAll(request.Body)
		_, port, _ := net.SplitHostPort(request.RemoteAddr)
		number, _ := strconv.Atoi(port)
		if err != nil {
			return
		}
		// As http.ServeMux cleans a path before it routes by it.
		line, _ := json.Marshal(seen{number, request.Method, path.Clean(request.URL.Path), len(content)})
		fmt.Fprintf(os.Stdout, "%s\n", line)
		io.WriteString(reply, "ok")
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}
