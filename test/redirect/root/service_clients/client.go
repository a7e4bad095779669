// Orders and answers as of client.c, without "talk", "peer", "tie", "many", "time" and "mark".
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		answer, err := ask(words[0], net.JoinHostPort(words[1], words[2]))
		var number syscall.Errno
		if errors.As(err, &number) {
			answer = fmt.Sprintf("error %d", int(number))
		} else if err != nil {
			answer = "error " + err.Error()
		}
		fmt.Println(answer)
	}
}

func ask(order, address string) (string, error) {
	switch order {
	case "tcp":
		return tcp(address)
	case "udp":
		return udp(address)
	}
	return connectedUdp(address)
}

func tcp(address string) (string, error) {
	connection, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	text, err := io.ReadAll(connection)
	return fmt.Sprintf("peer %s said %s", spaced(connection.RemoteAddr()), text), err
}

// ListenUDP makes a socket of IPv6 for both families.
func udp(address string) (string, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return "", err
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return "", err
	}
	defer socket.Close()
	if _, err := socket.WriteTo([]byte("?"), to); err != nil {
		return "", err
	}
	return receive(socket, "")
}

func connectedUdp(address string) (string, error) {
	connection, err := net.Dial("udp", address)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("?")); err != nil {
		return "", err
	}
	return receive(connection.(*net.UDPConn), " peer "+spaced(connection.RemoteAddr()))
}

func receive(socket *net.UDPConn, peer string) (string, error) {
	socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	text := make([]byte, 256)
	length, from, err := socket.ReadFrom(text)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("from %s%s said %s", spaced(from), peer, text[:length]), nil
}

func spaced(address net.Addr) string {
	host, port, _ := net.SplitHostPort(address.String())
	return host + " " + port
}
