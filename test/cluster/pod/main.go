// What runs in the pods of the cluster, one static program with several jobs: the pause of a sandbox, a
// server, and clients.
//
//	pod pause
//	pod serve PORT               answers every request with its method and the client's address, and by UDP every
//	                             datagram with its own address
//	pod ask METHOD URL           prints the status, or "lost" and why
//	pod each URL...              a line of each: the same of a GET, by a new connection
//	pod names PREFIX             a DNS server that says what it is asked: "7.any.name" is at the address PREFIX7
//	pod attempts METHOD URL      one new connection after the other from its first moment; a line each time
//	                             the outcome changes: "MILLISECONDS COUNT STATUS"
//	pod talk ADDRESS             prints what is answered to a datagram, or "lost" and why
//	pod hold ADDRESS             the same again and again by one connected socket, and by a new one when that fails; a line
//	                             each time the outcome changes
//	pod load URL [new]           one line for each request that is not answered 200, and each second
//	                             "COUNT LOST SLOWEST", the slowest of that second in milliseconds; half of the requests on a connection that stays open,
//	                             or none of them
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
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
	case "each":
		for _, url := range args[1:] {
			fmt.Println(ask(client(true, 30*time.Second), "GET", url))
		}
	case "names":
		serveNames(args[1])
	case "attempts":
		attempts(args[1], args[2])
	case "load":
		load(args[1], len(args) == 3)
	case "talk":
		fmt.Println(talk(args[1]))
	case "hold":
		hold(args[1])
	default:
		fmt.Fprintln(os.Stderr, "pod: no such job:", args[0])
		os.Exit(2)
	}
}

func serve(port string) {
	go serveDatagrams(port)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Method, r.RemoteAddr)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, handler))
	os.Exit(1)
}

func serveDatagrams(port string) {
	socket, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	own, _ := os.Hostname()
	question := make([]byte, 64)
	for {
		if _, from, err := socket.ReadFrom(question); err == nil {
			socket.WriteTo([]byte(own), from)
		}
	}
}

func exchange(socket net.Conn) string {
	socket.SetDeadline(time.Now().Add(time.Second))
	if _, err := socket.Write([]byte("?")); err != nil {
		return "lost " + err.Error()
	}
	answer := make([]byte, 256)
	length, err := socket.Read(answer)
	if err != nil {
		return "lost " + err.Error()
	}
	return string(answer[:length])
}

func talk(address string) string {
	socket, err := net.Dial("udp", address)
	if err != nil {
		return "lost " + err.Error()
	}
	defer socket.Close()
	return exchange(socket)
}

func hold(address string) {
	var socket net.Conn
	last := ""
	for {
		said := "lost"
		if socket == nil {
			if made, err := net.Dial("udp", address); err == nil {
				socket = made
			}
		}
		if socket != nil {
			said = exchange(socket)
			// Somebody closed it. All else may be over with the next datagram.
			if strings.Contains(said, "connection abort") || strings.Contains(said, "address required") {
				socket.Close()
				socket = nil
			}
		}
		if said != last {
			fmt.Println(said)
			last = said
		}
		time.Sleep(50 * time.Millisecond)
	}
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

func load(url string, isNew bool) {
	clients := []*http.Client{client(true, 20*time.Second), client(isNew, 20*time.Second)}
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
