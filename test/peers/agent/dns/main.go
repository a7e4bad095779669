// dns: how the agent's DNS library reads messages, and what its proxy would learn from them.
//
// Standard input has one message a line, standard output one answer a line, both JSON.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/dns"
)

type question struct {
	Message []byte `json:"message"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	// What the server of the library does with a question: 0 takes it, 1 refuses, 2 ignores, 3 says not implemented.
	Accepted dns.MsgAcceptAction `json:"accepted"`
	Name     string              `json:"name"`
	Type     uint16              `json:"type"`
	Class    uint16              `json:"class"`
	EDNS     uint16              `json:"edns"`
	Rcode    int                 `json:"rcode"`
	IPs      []string            `json:"ips"`
	TTL      uint32              `json:"ttl"`
	Aliases  []string            `json:"aliases"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			panic(err)
		}
		_ = out.Encode(answerTo(asked.Message))
	}
}

func answerTo(message []byte) answer {
	var read dns.Msg
	if err := read.Unpack(message); err != nil {
		return answer{Error: err.Error()}
	}
	name, ips, ttl, aliases, rcode, _, _, err := dnsproxy.ExtractMsgDetails(&read)
	if err != nil {
		return answer{Error: err.Error()}
	}
	asked := read.Question[0]
	told := answer{
		Accepted: dns.DefaultMsgAcceptFunc(headerOf(message)),
		Name:     name, Type: asked.Qtype, Class: asked.Qclass,
		Rcode: rcode, IPs: []string{}, TTL: ttl, Aliases: []string{},
	}
	for _, ip := range ips {
		told.IPs = append(told.IPs, ip.Unmap().String())
	}
	for _, alias := range aliases {
		told.Aliases = append(told.Aliases, strings.ToLower(alias))
	}
	if opt := read.IsEdns0(); opt != nil {
		told.EDNS = opt.UDPSize()
	}
	return told
}

func headerOf(message []byte) dns.Header {
	word := func(at int) uint16 { return uint16(message[at])<<8 | uint16(message[at+1]) }
	return dns.Header{
		Id: word(0), Bits: word(2), Qdcount: word(4), Ancount: word(6), Nscount: word(8), Arcount: word(10),
	}
}
