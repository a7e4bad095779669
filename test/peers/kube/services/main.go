// services: what kube-proxy makes of a Service and its EndpointSlices on one node, by its own code.
//
// Standard input has one question a line, standard output one answer a line, both JSON.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sort"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/kubernetes/pkg/proxy"
)

type question struct {
	Service v1.Service                `json:"service"`
	Slices  []discovery.EndpointSlice `json:"slices"`
	Node    string                    `json:"node"`
	Zone    string                    `json:"zone"`
}

type port struct {
	Name            string   `json:"name"`
	Protocol        string   `json:"protocol"`
	Family          int      `json:"family"`
	ClusterIP       string   `json:"clusterIP"`
	Port            int      `json:"port"`
	NodePort        int      `json:"nodePort"`
	ExternalIPs     []string `json:"externalIPs"`
	LoadBalancerIPs []string `json:"loadBalancerIPs"`
	AffinitySeconds int      `json:"affinitySeconds"`
	IsInternalLocal bool     `json:"isInternalLocal"`
	IsRestricted    bool     `json:"isRestricted"`
	Cluster         []string `json:"cluster"`
	Local           []string `json:"local"`
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
		ports := append(portsOf(asked, v1.IPv4Protocol), portsOf(asked, v1.IPv6Protocol)...)
		sort.Slice(ports, func(i, j int) bool { return key(ports[i]) < key(ports[j]) })
		_ = out.Encode(map[string]any{"ports": ports})
	}
}

func key(one port) string { return one.ClusterIP + " " + one.Protocol + " " + one.Name }

func portsOf(asked question, family v1.IPFamily) []port {
	services := proxy.ServicePortMap{}
	serviceChanges := proxy.NewServiceChangeTracker(family, nil, nil)
	serviceChanges.Update(nil, &asked.Service)
	services.Update(serviceChanges)
	endpoints := proxy.EndpointsMap{}
	makeEndpoint := func(info *proxy.BaseEndpointInfo, _ *proxy.ServicePortName) proxy.Endpoint { return info }
	endpointChanges := proxy.NewEndpointsChangeTracker(family, asked.Node, makeEndpoint, nil)
	for i := range asked.Slices {
		endpointChanges.EndpointSliceUpdate(&asked.Slices[i], false)
	}
	endpoints.Update(endpointChanges)
	topology := map[string]string{v1.LabelTopologyZone: asked.Zone}
	ports := []port{}
	for name, info := range services {
		cluster, local, _, _ := proxy.CategorizeEndpoints(endpoints[name], info, asked.Node, topology)
		one := port{
			Name: name.Port, Protocol: string(name.Protocol), Family: 4,
			ClusterIP: info.ClusterIP().String(), Port: info.Port(), NodePort: info.NodePort(),
			ExternalIPs: []string{}, LoadBalancerIPs: []string{},
			IsInternalLocal: info.InternalPolicyLocal(),
			IsRestricted:    len(info.LoadBalancerSourceRanges()) > 0,
			Cluster:         texts(cluster), Local: texts(local),
		}
		if family == v1.IPv6Protocol {
			one.Family = 6
		}
		if info.SessionAffinityType() == v1.ServiceAffinityClientIP {
			one.AffinitySeconds = info.StickyMaxAgeSeconds()
		}
		for _, ip := range info.ExternalIPs() {
			one.ExternalIPs = append(one.ExternalIPs, ip.String())
		}
		for _, ip := range info.LoadBalancerVIPs() {
			one.LoadBalancerIPs = append(one.LoadBalancerIPs, ip.String())
		}
		ports = append(ports, one)
	}
	return ports
}

func texts(endpoints []proxy.Endpoint) []string {
	all := []string{}
	for _, one := range endpoints {
		all = append(all, one.String())
	}
	sort.Strings(all)
	return all
}
