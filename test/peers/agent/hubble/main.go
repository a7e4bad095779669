// hubble: what Hubble's own metrics count for flows, and how its command line prints them.
//
// Standard input has one question a line, standard output one answer a line, both JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protojson"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/hubble/pkg/printer"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/dns"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/drop"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/flow"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/flows-to-world"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/http"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/icmp"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/policy"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/port-distribution"
	_ "github.com/cilium/cilium/pkg/hubble/metrics/tcp"
)

type question struct {
	// Counts: what is switched on, as in Cilium's Helm values.
	Metrics []string          `json:"metrics"`
	Flows   []json.RawMessage `json:"flows"`
	// Prints: a form, and switches.
	Output    string            `json:"output"`
	Options   []string          `json:"options"`
	Responses []json.RawMessage `json:"responses"`
}

type answer struct {
	Error   string             `json:"error,omitempty"`
	Samples map[string]float64 `json:"samples,omitempty"`
	Text    string             `json:"text,omitempty"`
	// Of node states.
	ErrorText string `json:"errorText,omitempty"`
}

func main() {
	time.Local = time.UTC
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			panic(err)
		}
		var told answer
		var err error
		if asked.Output == "" {
			told.Samples, err = counted(asked)
		} else {
			told.Text, told.ErrorText, err = printed(asked)
		}
		if err != nil {
			told = answer{Error: err.Error()}
		}
		_ = out.Encode(told)
	}
}

func counted(asked question) (map[string]float64, error) {
	registry := prometheus.NewPedanticRegistry()
	log := slog.New(slog.DiscardHandler)
	config := api.ParseStaticMetricsConfig(asked.Metrics)
	handlers, err := api.DefaultRegistry().ConfigureHandlers(log, registry, config)
	if err != nil {
		return nil, err
	}
	if len(*handlers) != len(asked.Metrics) {
		return nil, fmt.Errorf("%d of %d metrics are known", len(*handlers), len(asked.Metrics))
	}
	for _, raw := range asked.Flows {
		var flow flowpb.Flow
		if err := protojson.Unmarshal(raw, &flow); err != nil {
			return nil, err
		}
		for _, handler := range *handlers {
			if err := handler.Handler.ProcessFlow(context.Background(), &flow); err != nil {
				return nil, err
			}
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName() + labelText(metric.GetLabel())
			if histogram := metric.GetHistogram(); histogram != nil {
				samples[name+" sum"] = histogram.GetSampleSum()
				samples[name+" count"] = float64(histogram.GetSampleCount())
				for _, bucket := range histogram.GetBucket() {
					samples[fmt.Sprintf("%s le %v", name, bucket.GetUpperBound())] = float64(bucket.GetCumulativeCount())
				}
				continue
			}
			samples[name] = metric.GetCounter().GetValue()
		}
	}
	return samples, nil
}

func labelText(labels []*dto.LabelPair) string {
	texts := make([]string, 0, len(labels))
	for _, label := range labels {
		texts = append(texts, label.GetName()+"="+label.GetValue())
	}
	sort.Strings(texts)
	return "{" + strings.Join(texts, ",") + "}"
}

// What is left out of Hubble's own set is what its command line does not let users choose.
var switches = map[string]printer.Option{
	"ip-translation": printer.WithIPTranslation(),
	"node-name":      printer.WithNodeName(),
	"policy-names":   printer.WithPolicyNames(),
	"debug":          printer.WithDebug(),
}

var outputs = map[string]printer.Option{
	"compact": printer.Compact(),
	"dict":    printer.Dict(),
	"table":   printer.Tab(),
	"jsonpb":  printer.JSONPB(),
}

func printed(asked question) (string, string, error) {
	form, ok := outputs[asked.Output]
	if !ok {
		return "", "", fmt.Errorf("no output %q", asked.Output)
	}
	var out, errors bytes.Buffer
	options := []printer.Option{form, printer.Writer(&out), printer.WithColor("never"), printer.IgnoreStderr()}
	for _, name := range asked.Options {
		options = append(options, switches[name])
	}
	made := printer.New(options...)
	for _, raw := range asked.Responses {
		var response observerpb.GetFlowsResponse
		if err := protojson.Unmarshal(raw, &response); err != nil {
			return "", "", err
		}
		if err := made.WriteGetFlowsResponse(&response); err != nil {
			return "", "", err
		}
	}
	if err := made.Close(); err != nil {
		return "", "", err
	}
	return out.String(), errors.String(), nil
}
