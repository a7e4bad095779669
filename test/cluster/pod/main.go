// What runs in the pods of the cluster, one static program with several jobs: the pause of a sandbox, a
// server, and clients.
//
//	pod pause
//	pod serve PORT               answers every request with its method and the client's address
//	pod ask METHOD URL           prints the status, or "lost" and why
//	pod attempts METHOD URL      one new connection after the other from its first moment; a line each time
//	                             the outcome changes: "MILLISECONDS COUNT STATUS"
//	pod load URL                 one line for each request that is not answered 200, and each second
//	                             "COUNT LOST SLOWEST", the slowest of that second in milliseconds; half of the requests on a connection that stays open
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stopped
		os.Exit(0)
	}()
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"pause"}
	}
	switch args[0] {
	case "pause":
		select {}
	case "serve":
		serve(args[1])
	case "ask":
		fmt.Println(ask(client(true, 10*time.Second), args[1], args[2]))
	case "attempts":
		attempts(args[1], args[2])
	case "load":
		load(args[1])
	default:
		fmt.Fprintln(os.Stderr, "pod: no such job:", args[0])
		os.Exit(2)
	}
}

func serve(port string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Method, r.RemoteAddr)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, handler))
	os.Exit(1)
}

func client(isClosing bool, patience time.Duration) *http.Client {
	transport := &http.Transport{DisableKeepAlives: isClosing}
	return &http.Client{Transport: transport, Timeout: patience}
}

func ask(from *http.Client, method, url string) string {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "lost " + err.Error()
	}
	answer, err := from.Do(request)
	if err != nil {
		return "lost " + err.Error()
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "lost " + err.Error()
	}
	return fmt.Sprint(answer.StatusCode)
}

func attempts(method, url string) {
	began := time.Now()
	from := client(true, 300*time.Millisecond)
	last, count := "", 0
	for {
		said := ask(from, method, url)
		if len(said) > 4 {
			said = said[:4]
		}
		count++
		if said != last {
			fmt.Println(time.Since(began).Milliseconds(), count, said)
			last, count = said, 0
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func load(url string) {
	clients := []*http.Client{client(true, 20*time.Second), client(false, 20*time.Second)}
	count, lost, slowest := 0, 0, time.Duration(0)
	told := time.Now()
	for {
		began := time.Now()
		said := ask(clients[count%len(clients)], "GET", url)
		slowest = max(slowest, time.Since(began))
		count++
		if said != "200" {
			lost++
			fmt.Println("not 200:", said)
		}
		if time.Since(told) > time.Second {
			fmt.Println(count, lost, slowest.Milliseconds())
			told, slowest = time.Now(), 0
		}
		time.Sleep(2 * time.Millisecond)
	}
}
