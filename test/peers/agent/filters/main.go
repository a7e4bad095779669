// filters: which flows pass filters of Hubble, by the agent's own code.
//
// Standard input has one question a line, standard output one answer a line, both JSON; filters and flows in
// protobuf's form.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/filters"
)

type question struct {
	Whitelist []json.RawMessage `json:"whitelist"`
	Blacklist []json.RawMessage `json:"blacklist"`
	Flows     []json.RawMessage `json:"flows"`
}

type answer struct {
	Error  string `json:"error,omitempty"`
	Passes []bool `json:"passes"`
}

func main() {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			panic(err)
		}
		_ = out.Encode(answerTo(quiet, asked))
	}
}

func answerTo(log *slog.Logger, asked question) answer {
	known := filters.DefaultFilters(log)
	allow, err := filters.BuildFilterList(context.Background(), filtersOf(asked.Whitelist), known)
	if err != nil {
		return answer{Error: err.Error()}
	}
	deny, err := filters.BuildFilterList(context.Background(), filtersOf(asked.Blacklist), known)
	if err != nil {
		return answer{Error: err.Error()}
	}
	passes := make([]bool, 0, len(asked.Flows))
	for _, text := range asked.Flows {
		flow := &flowpb.Flow{}
		if err := protojson.Unmarshal(text, flow); err != nil {
			panic(err)
		}
		passes = append(passes, filters.Apply(allow, deny, &v1.Event{Event: flow}))
	}
	return answer{Passes: passes}
}

func filtersOf(texts []json.RawMessage) []*flowpb.FlowFilter {
	list := make([]*flowpb.FlowFilter, 0, len(texts))
	for _, text := range texts {
		filter := &flowpb.FlowFilter{}
		if err := protojson.Unmarshal(text, filter); err != nil {
			panic(err)
		}
		list = append(list, filter)
	}
	return list
}
