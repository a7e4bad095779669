package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

const (
	headerLength = 12
	typeA        = 1
)

// A DNS server: the name "7.anything" has the address PREFIX7, all others PREFIX1. It says who asked for what.
func serveNames(prefix string) {
	go serveNamesByTCP(prefix)
	socket, err := net.ListenPacket("udp", ":53")
	if err != nil {
		end(err)
	}
	question := make([]byte, 1500)
	for {
		length, from, err := socket.ReadFrom(question)
		if err != nil {
			continue
		}
		if answer := answerTo(question[:length], prefix); answer != nil {
			socket.WriteTo(answer, from)
		}
	}
}

func serveNamesByTCP(prefix string) {
	listener, err := net.Listen("tcp", ":53")
	if err != nil {
		end(err)
	}
	for {
		socket, err := listener.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer socket.Close()
			for {
				var size [2]byte
				if _, err := io.ReadFull(socket, size[:]); err != nil {
					return
				}
				question := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(socket, question); err != nil {
					return
				}
				answer := answerTo(question, prefix)
				socket.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}()
	}
}

func answerTo(question []byte, prefix string) []byte {
	labels := []string{}
	at := headerLength
	for at < len(question) && question[at] != 0 {
		next := at + 1 + int(question[at])
		if next >= len(question) {
			return nil
		}
		labels = append(labels, strings.ToLower(string(question[at+1:next])))
		at = next
	}
	if at+5 > len(question) {
		return nil
	}
	fmt.Println(strings.Join(labels, "."))
	answer := append([]byte{}, question[:at+5]...)
	binary.BigEndian.PutUint16(answer[2:], 0x8180)
	for _, count := range []int{6, 8, 10} {
		binary.BigEndian.PutUint16(answer[count:], 0)
	}
	if binary.BigEndian.Uint16(question[at+1:]) != typeA {
		return answer
	}
	last := "1"
	if _, err := strconv.Atoi(labels[0]); err == nil {
		last = labels[0]
	}
	answer[7] = 1
	// A pointer to the question's name, A, IN, a TTL of 30 seconds, 4 bytes.
	answer = append(answer, 0xc0, headerLength, 0, typeA, 0, 1, 0, 0, 0, 30, 0, 4)
	return append(answer, net.ParseIP(prefix+last).To4()...)
}

func end(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
