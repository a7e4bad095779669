// agent: Cilium's own policy code, without Kubernetes, BPF or root, asked questions.
//
// CiliumNetworkPolicy files, and NetworkPolicy ones of Kubernetes, go through the agent's own Parse, Sanitize, ReplaceByResource, GetSelectorPolicy and
// DistillPolicy; what is ours is only the scene: who the endpoints are. The agent's xDS server runs so that it makes
// the resources that a proxy would be sent; no proxy is needed.
//
//	agent --run-dir DIR --scene scene.yaml
//
// Standard input takes one command a line; standard output is one JSON object a line.
//
//	apply FILE             a file of CNPs, CCNPs and NetworkPolicies, in the place of those of the same names
//	delete NAMESPACE/NAME  (or /NAME for clusterwide)
//	dump                   what the server would send for NPDS now, as protobuf JSON
//	l4 ENDPOINT ingress|egress IDENTITY tcp|udp PORT   what the datapath would do: deny, allow, or redirect to a proxy port
//	dns ENDPOINT IDENTITY IP tcp|udp PORT NAME         what the agent's DNS proxy would say of a question to that resolver
//	quit
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/cilium/hive/cell"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/cilium/cilium/pkg/completion"
	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	"github.com/cilium/cilium/pkg/endpointstate"
	"github.com/cilium/cilium/pkg/envoy"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/cilium/pkg/fqdn/restore"
	"github.com/cilium/cilium/pkg/hive"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	cilium_v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	k8sClient "github.com/cilium/cilium/pkg/k8s/client"
	slim_networkingv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/metrics"
	"github.com/cilium/cilium/pkg/node"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	policyapi "github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	"github.com/cilium/cilium/pkg/promise"
	"github.com/cilium/cilium/pkg/proxy/accesslog"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"
)

// Scene is what a node would know from Kubernetes and from its datapath.
type Scene struct {
	Identities []struct {
		ID     uint32   `json:"id"`
		Labels []string `json:"labels"` // "k8s:app=web"
		IPs    []string `json:"ips"`    // prefixes, for NPHDS and for the access log
	} `json:"identities"`
	Endpoints []*Endpoint `json:"endpoints"`
	Listeners []Listener  `json:"listeners"`
}

// Listener is one redirect of the agent: name as in its proxy port table, for example cilium-http-ingress.
type Listener struct {
	Name           string `json:"name"`
	Kind           string `json:"kind"` // http
	Port           uint16 `json:"port"`
	Ingress        bool   `json:"ingress"`
	OriginalSource bool   `json:"originalSource"`
}

// Endpoint is a local pod: the policy owner, and the receiver of the proxy's acknowledgements.
type Endpoint struct {
	ID       uint16            `json:"id"`
	Identity uint32            `json:"identity"`
	IPv4     string            `json:"ipv4"`
	IPv6     string            `json:"ipv6"`
	Ports    map[string]uint16 `json:"ports"` // named ports of this pod

	current *policy.EndpointPolicy
	dns     []restore.PortProto // ports with DNS rules
}

func (e *Endpoint) GetPolicyNames() (names []string) {
	for _, ip := range []string{e.IPv6, e.IPv4} {
		if ip != "" {
			names = append(names, ip)
		}
	}
	return names
}
func (e *Endpoint) GetID() uint64          { return uint64(e.ID) }
func (e *Endpoint) GetIPv4Address() string { return e.IPv4 }
func (e *Endpoint) GetIPv6Address() string { return e.IPv6 }
func (e *Endpoint) OnProxyPolicyUpdate(revision uint64) {
	emit("realized", map[string]any{"endpoint": e.ID, "revision": revision})
}
func (e *Endpoint) UpdateProxyStatistics(proxy, l4 string, port, proxyPort uint16, ingress, request bool, verdict accesslog.FlowVerdict) {
	emit("statistics", map[string]any{"endpoint": e.ID, "port": port, "proxyPort": proxyPort, "ingress": ingress, "request": request, "verdict": verdict})
}
func (e *Endpoint) GetListenerProxyPort(string) uint16 { return 0 }
func (e *Endpoint) PolicyDebug(string, ...any)         {}
func (e *Endpoint) IsHost() bool                       { return false }
func (e *Endpoint) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool, 1)
	done <- true
	return done
}

// Agent is the scene with the real parts.
type Agent struct {
	logger   *slog.Logger
	scene    Scene
	repo     *policy.Repository
	server   envoy.XDSServer
	ids      identity.IdentityMap
	local    identitymanager.IDManager
	dns      *dnsproxy.DNSProxy
	patience time.Duration
}

var out sync.Mutex

func emit(kind string, fields map[string]any) {
	out.Lock()
	defer out.Unlock()
	if fields == nil {
		fields = map[string]any{}
	}
	fields["event"] = kind
	line, err := json.Marshal(fields)
	if err != nil {
		line, _ = json.Marshal(map[string]any{"event": kind, "error": err.Error()})
	}
	fmt.Println(string(line))
}

func (a *Agent) listener(parser policy.L7ParserType, ingress bool) *Listener {
	for i := range a.scene.Listeners {
		l := &a.scene.Listeners[i]
		if l.Ingress == ingress && policy.L7ParserType(l.Kind) == parser {
			return l
		}
	}
	return nil
}

// regenerate does for every endpoint what the agent's endpoint regeneration does for the proxy.
func (a *Agent) regenerate() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.patience)
	defer cancel()
	wg := completion.NewWaitGroup(ctx)
	for _, e := range a.scene.Endpoints {
		id := identity.NewIdentityFromLabelArray(identity.NumericIdentity(e.Identity), a.ids[identity.NumericIdentity(e.Identity)])
		selected, revision, err := a.resolve(id, e)
		if err != nil {
			return fmt.Errorf("endpoint %d: %w", e.ID, err)
		}
		redirects := map[string]uint16{}
		for _, port := range e.dns {
			if _, err := a.dns.UpdateAllowed(e.GetID(), port, nil); err != nil {
				return err
			}
		}
		e.dns = nil
		for l4, tuple := range selected.RedirectFilters() {
			port := l4.Port
			if port == 0 && l4.PortName != "" {
				port = e.Ports[l4.PortName]
			}
			if tuple.Policy.L7Parser == policy.ParserTypeDNS {
				at := restore.MakeV2PortProto(port, l4.U8Proto)
				if _, err := a.dns.UpdateAllowed(e.GetID(), at, l4.PerSelectorPolicies); err != nil {
					return err
				}
				e.dns = append(e.dns, at)
				redirects[policy.ProxyID(e.ID, l4.Ingress, string(l4.Protocol), port, "")] = dnsPort
			} else if l := a.listener(tuple.Policy.L7Parser, l4.Ingress); l != nil && port != 0 {
				redirects[policy.ProxyID(e.ID, l4.Ingress, string(l4.Protocol), port, tuple.Policy.GetListener())] = l.Port
			}
		}
		distilled := selected.DistillPolicy(a.logger, e, redirects)
		if err := a.publish(e, distilled, wg); err != nil {
			return fmt.Errorf("endpoint %d: %w", e.ID, err)
		}
		if e.current != nil {
			e.current.Detach(a.logger)
		}
		_ = distilled.Ready()
		e.current = distilled
		emit("policy", map[string]any{"endpoint": e.ID, "revision": revision, "redirects": redirects})
	}
	started := time.Now()
	err := wg.Wait()
	fields := map[string]any{"acked": err == nil, "waitedMs": time.Since(started).Milliseconds()}
	if err != nil {
		fields["error"] = err.Error()
	}
	emit("wait", fields)
	return nil
}

func (a *Agent) apply(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, doc := range strings.Split("\n"+string(data), "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		if strings.Contains("\n"+doc, "\nkind: NetworkPolicy\n") {
			if err := a.applyNetworkPolicy(doc); err != nil {
				return err
			}
			continue
		}
		cnp := &cilium_v2.CiliumNetworkPolicy{}
		if err := yaml.Unmarshal([]byte(doc), cnp); err != nil {
			return err
		}
		kind := ipcachetypes.ResourceKindCNP
		if cnp.Kind == "CiliumClusterwideNetworkPolicy" {
			kind = ipcachetypes.ResourceKindCCNP
			cnp.Namespace = ""
		} else if cnp.Namespace == "" {
			cnp.Namespace = "default"
		}
		rules, err := cnp.Parse(a.logger, "default")
		if err != nil {
			emit("refused", map[string]any{"policy": cnp.Name, "error": err.Error()})
			continue
		}
		resource := ipcachetypes.NewResourceID(kind, cnp.Namespace, cnp.Name)
		_, revision, _ := a.repo.ReplaceByResource(policyutils.RulesToPolicyEntries(rules), resource)
		emit("accepted", map[string]any{"policy": cnp.Name, "revision": revision, "rules": len(rules)})
	}
	return nil
}

// applyNetworkPolicy takes a NetworkPolicy of Kubernetes, as the agent's watcher does.
func (a *Agent) applyNetworkPolicy(doc string) error {
	np := &slim_networkingv1.NetworkPolicy{}
	if err := yaml.Unmarshal([]byte(doc), np); err != nil {
		return err
	}
	entries, err := k8s.ParseNetworkPolicy(a.logger, "default", np)
	if err != nil {
		emit("refused", map[string]any{"policy": np.Name, "error": err.Error()})
		return nil
	}
	resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNetpol, np.Namespace, np.Name)
	_, revision, _ := a.repo.ReplaceByResource(entries, resource)
	emit("accepted", map[string]any{"policy": np.Name, "revision": revision, "rules": len(entries)})
	return nil
}

func (a *Agent) addListener(l Listener) {
	name := fmt.Sprintf("%s:%d", l.Name, l.Port)
	ctx, cancel := context.WithTimeout(context.Background(), a.patience)
	wg := completion.NewWaitGroup(ctx)
	err := a.listen(name, l, wg, func(err error) {
		fields := map[string]any{"listener": name, "acked": err == nil}
		if err != nil {
			fields["error"] = err.Error()
		}
		emit("listener", fields)
	})
	if err != nil {
		emit("listener", map[string]any{"listener": name, "acked": false, "error": err.Error()})
	}
	go func() {
		defer cancel()
		if err := wg.Wait(); err != nil {
			emit("listener-wait", map[string]any{"listener": name, "error": err.Error()})
		}
	}()
}

func (a *Agent) dump() error {
	policies, err := a.published()
	if err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	for name, p := range policies {
		text, err := protojson.Marshal(p)
		if err != nil {
			return err
		}
		all[name] = text
	}
	emit("npds", map[string]any{"policies": all})
	return nil
}

// dnsPort stands for the port of the DNS proxy in the policy map; the proxy itself does not listen here.
const dnsPort = 5353

func (a *Agent) endpoint(id uint16) (*Endpoint, error) {
	for _, e := range a.scene.Endpoints {
		if e.ID == id && e.current != nil {
			return e, nil
		}
	}
	return nil, fmt.Errorf("no endpoint %d", id)
}

func (a *Agent) l4(line string) error {
	var id, port uint16
	var remote uint32
	var direction, protocol string
	if _, err := fmt.Sscan(line, &id, &direction, &remote, &protocol, &port); err != nil {
		return err
	}
	e, err := a.endpoint(id)
	if err != nil {
		return err
	}
	proto, err := u8proto.ParseProtocol(protocol)
	if err != nil {
		return err
	}
	key := policy.EgressKey()
	if direction == "ingress" {
		key = policy.IngressKey()
	}
	entry, rule, found := e.current.Lookup(key.WithIdentity(identity.NumericIdentity(remote)).WithPortProto(proto, port))
	emit("l4", map[string]any{"question": line, "allowed": found && !entry.IsDeny(), "proxyPort": entry.ProxyPort, "rules": rule.LabelArrayListString()})
	return nil
}

func (a *Agent) query(line string) error {
	var id, port uint16
	var resolver uint32
	var address, protocol, name string
	if _, err := fmt.Sscan(line, &id, &resolver, &address, &protocol, &port, &name); err != nil {
		return err
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	proto, err := u8proto.ParseProtocol(protocol)
	if err != nil {
		return err
	}
	allowed, err := a.dns.CheckAllowed(uint64(id), restore.MakeV2PortProto(port, proto), identity.NumericIdentity(resolver), ip, name)
	if err != nil {
		return err
	}
	emit("dns", map[string]any{"question": line, "allowed": allowed})
	return nil
}

func (a *Agent) command(line string) error {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "":
		return nil
	case "apply":
		if err := a.apply(rest); err != nil {
			return err
		}
		return a.regenerate()
	case "delete":
		ns, name, _ := strings.Cut(rest, "/")
		kind := ipcachetypes.ResourceKindCNP
		if ns == "" {
			kind = ipcachetypes.ResourceKindCCNP
		}
		a.repo.ReplaceByResource(nil, ipcachetypes.NewResourceID(kind, ns, name))
		a.repo.ReplaceByResource(nil, ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNetpol, ns, name))
		return a.regenerate()
	case "dump":
		return a.dump()
	case "l4":
		return a.l4(rest)
	case "dns":
		return a.query(rest)
	}
	return fmt.Errorf("no such command: %s", verb)
}

// podLabels adds what the agent adds to every pod of its own cluster: policies without a cluster select that one.
func podLabels(names []string) labels.LabelArray {
	if prefix, isCIDR := strings.CutPrefix(names[0], "cidr:"); isCIDR {
		return labels.GetCIDRLabels(netip.MustParsePrefix(prefix)).LabelArray()
	}
	const cluster = "k8s:io.cilium.k8s.policy.cluster="
	for _, name := range names {
		if strings.HasPrefix(name, cluster) || !strings.HasPrefix(name, "k8s:") {
			return labels.ParseLabelArray(names...)
		}
	}
	return labels.ParseLabelArray(append([]string{cluster + "default"}, names...)...)
}

func (a *Agent) addIdentities(added identity.IdentityMap) {
	for id, l := range added {
		a.ids[id] = l
	}
	wg := &sync.WaitGroup{}
	a.repo.GetSelectorCache().UpdateIdentities(added, nil, wg)
	wg.Wait()
	subjects := &sync.WaitGroup{}
	a.repo.GetSubjectSelectorCache().UpdateIdentities(added, nil, subjects)
	subjects.Wait()
}

// registry fills in the access log records what the agent would know.
type registry struct{ agent *Agent }

func (r registry) FillEndpointInfo(_ context.Context, info *accesslog.EndpointInfo, addr netip.Addr) {
	if addr.Is4() {
		info.IPv4 = addr.String()
	} else if addr.IsValid() {
		info.IPv6 = addr.String()
	}
	for _, e := range r.agent.scene.Endpoints {
		if addr.IsValid() && (e.IPv4 == addr.String() || e.IPv6 == addr.String()) {
			info.ID = e.GetID()
			if info.Identity == 0 {
				info.Identity = uint64(e.Identity)
			}
		}
	}
	info.Labels = r.agent.ids[identity.NumericIdentity(info.Identity)]
}

type notifier struct{}

func (notifier) NewProxyLogRecord(*accesslog.LogRecord) error { return nil }

// noUpdater stands for the datapath, which has no policy maps here.
type noUpdater struct{}

func (noUpdater) UpdateIdentities(_, _ identity.IdentityMap) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

type restored struct{}

func (restored) WaitForEndpointRestoreWithoutRegeneration(context.Context) error { return nil }
func (restored) WaitForEndpointRestore(context.Context) error                    { return nil }
func (restored) WaitForInitialPolicy(context.Context) error                      { return nil }

func main() {
	run := flag.String("run-dir", "", "the agent's run directory; sockets in <run-dir>/envoy/sockets")
	sceneFile := flag.String("scene", "", "YAML: identities, endpoints, listeners")
	policies := flag.String("policies", "", "directory with CNP and CCNP files, applied at start")
	patience := flag.Duration("patience", 10*time.Second, "how long a change waits for the proxy")
	ipv6 := flag.Bool("ipv6", false, "listeners get an IPv6 address, too")
	settings := flag.String("set", "", "comma-separated agent flags, for example http-normalize-path=false")
	localhost := flag.Bool("localhost", false, "the host may reach its endpoints; ICMP rules")
	dnsServer := flag.String("dns-server", "", "ADDRESS:PORT: the DNS proxy listens on 127.0.0.1, and asks this server; needs root")
	flag.Parse()

	agent := &Agent{ids: identity.IdentityMap{}, patience: *patience}
	data, err := os.ReadFile(*sceneFile)
	if err == nil {
		err = yaml.UnmarshalStrict(data, &agent.scene)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	option.Config.RunDir = *run
	option.Config.EnableL7Proxy = true
	option.Config.ExternalEnvoyProxy = true
	option.Config.EnableIPv4 = true
	if *localhost {
		option.Config.AllowLocalhost = option.AllowLocalhostAlways
		option.Config.EnableICMPRules = true
	}
	option.Config.EnableIPv6 = *ipv6
	if err := os.MkdirAll(socketDir(*run), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	agent.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	agent.dns = dnsproxy.NewDNSProxy(dnsproxy.DNSProxyConfig{Logger: agent.logger, IPv4: true, MaxRestoreDNSIPs: 1000}, nil, nil)
	resolver, waiting := promise.New[endpointstate.Restorer]()
	resolver.Resolve(restored{})

	var cache *ipcache.IPCache
	var accessLog accesslog.ProxyAccessLogger
	ready := make(chan struct{})
	h := hive.New(
		envoy.Cell,
		certificatemanager.Cell,
		k8sClient.Cell,
		metrics.Cell,
		cell.Provide(
			func() *option.DaemonConfig { return option.Config },
			func(logger *slog.Logger) *ipcache.IPCache {
				cache := ipcache.NewIPCache(&ipcache.Configuration{Context: context.Background(), Logger: logger, IdentityUpdater: noUpdater{}})
				for _, id := range agent.scene.Identities {
					for _, ip := range id.IPs {
						_, err := cache.Upsert(ip, nil, 0, nil, ipcache.Identity{ID: identity.NumericIdentity(id.ID), Source: "generated"})
						if err != nil {
							logger.Error("ipcache", "prefix", ip, "error", err)
						}
					}
				}
				return cache
			},
			func() promise.Promise[endpointstate.Restorer] { return waiting },
			func() *node.LocalNodeStore { return node.NewTestLocalNodeStore(node.LocalNode{}) },
			func(logger *slog.Logger, store *node.LocalNodeStore) accesslog.ProxyAccessLogger {
				return accesslog.NewProxyAccessLogger(logger, accesslog.ProxyAccessLoggerConfig{}, notifier{}, registry{agent}, store)
			},
			func(logger *slog.Logger) identitymanager.IDManager { return identitymanager.NewIDManager(logger) },
			func() policytypes.PolicyMetrics { return testpolicy.NewPolicyMetricsNoop() },
		),
		cell.Invoke(func(logger *slog.Logger, server envoy.XDSServer, certs certificatemanager.CertificateManager,
			translator envoypolicy.EnvoyL7RulesTranslator, ids identitymanager.IDManager, pm policytypes.PolicyMetrics, lc cell.Lifecycle, ips *ipcache.IPCache, log accesslog.ProxyAccessLogger) {
			policyapi.InitEntities("default")
			cache, accessLog = ips, log
			agent.server = server
			agent.local = ids
			agent.repo = policy.NewPolicyRepository(logger, identity.ListReservedIdentities(), certs, translator, ids, pm)
			lc.Append(cell.Hook{OnStart: func(cell.HookContext) error { close(ready); return nil }})
		}),
	)
	for _, pair := range strings.Split("certificates-directory="+filepath.Join(*run, "certs")+",disable-envoy-version-check=true,proxy-gid=0,"+*settings, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			h.Viper().Set(name, value)
		}
	}
	if err := h.Start(agent.logger, context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ready

	known := identity.IdentityMap{}
	for _, id := range agent.scene.Identities {
		known[identity.NumericIdentity(id.ID)] = podLabels(id.Labels)
	}
	agent.addIdentities(known)
	for _, e := range agent.scene.Endpoints { // what the endpoint manager does when an endpoint gets its identity
		numeric := identity.NumericIdentity(e.Identity)
		agent.addSubject(identity.NewIdentityFromLabelArray(numeric, agent.ids[numeric]))
	}
	for _, l := range agent.scene.Listeners {
		agent.addListener(l)
	}
	if *dnsServer != "" {
		if err := agent.serveNames(netip.MustParseAddrPort(*dnsServer), cache, accessLog); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if *policies != "" {
		names, _ := filepath.Glob(filepath.Join(*policies, "*.yaml"))
		sort.Strings(names)
		for _, name := range names {
			if err := agent.apply(name); err != nil {
				emit("error", map[string]any{"file": name, "error": err.Error()})
			}
		}
	}
	emit("started", map[string]any{"sockets": socketDir(*run)})
	if err := agent.regenerate(); err != nil {
		emit("error", map[string]any{"error": err.Error()})
	}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadString('\n')
		if strings.TrimSpace(line) == "quit" {
			break
		}
		if failed := agent.command(line); failed != nil {
			emit("error", map[string]any{"command": strings.TrimSpace(line), "error": failed.Error()})
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	_ = h.Stop(agent.logger, context.Background())
}
