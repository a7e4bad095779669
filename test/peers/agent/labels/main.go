// labels: which labels make up the identity of a pod, of the host and of another node, by Cilium's own code.
//
// Standard input has one question a line, standard output one answer a line, both JSON.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sort"

	k8sUtils "github.com/cilium/cilium/pkg/k8s/utils"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
)

type question struct {
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	PodLabels       map[string]string `json:"podLabels"`
	ServiceAccount  string            `json:"serviceAccount"`
	Cluster         string            `json:"cluster"`
	NodeLabels      map[string]string `json:"nodeLabels"`
	// The agent's options labels and node-labels.
	Labels       []string `json:"labels"`
	NodePrefixes []string `json:"nodePrefixes"`
}

type answer struct {
	Error string   `json:"error,omitempty"`
	Pod   []string `json:"pod"`
	Host  []string `json:"host"`
	Node  []string `json:"node"`
}

type namespace struct {
	name   string
	labels map[string]string
}

func (n namespace) GetName() string              { return n.name }
func (n namespace) GetLabels() map[string]string { return n.labels }

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
		if err := labelsfilter.ParseLabelPrefixCfg(quiet, asked.Labels, asked.NodePrefixes, ""); err != nil {
			_ = out.Encode(answer{Error: err.Error()})
			continue
		}
		_ = out.Encode(answerTo(asked))
	}
	if err := in.Err(); err != nil {
		panic(err)
	}
}

func answerTo(asked question) answer {
	// As GetPodMetadata and the endpoint's creation do.
	sanitized := k8sUtils.SanitizePodLabels(
		asked.PodLabels,
		namespace{asked.Namespace, asked.NamespaceLabels},
		asked.ServiceAccount,
		asked.Cluster,
	)
	pod, _ := labelsfilter.Filter(labels.Map2Labels(sanitized, labels.LabelSourceK8s))
	// As InitWithNodeLabels does.
	host, _ := labelsfilter.Filter(labels.Map2Labels(asked.NodeLabels, labels.LabelSourceK8s))
	// As nodeIdentityLabels does.
	node, _ := labelsfilter.FilterNodeLabels(labels.Map2Labels(asked.NodeLabels, labels.LabelSourceNode))
	return answer{Pod: texts(pod), Host: texts(host), Node: texts(node)}
}

func texts(all labels.Labels) []string {
	list := make([]string, 0, len(all))
	for _, one := range all {
		list = append(list, one.String())
	}
	sort.Strings(list)
	return list
}
