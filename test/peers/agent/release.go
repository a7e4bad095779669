package main

import (
	cilium "github.com/cilium/proxy/go/cilium/api"

	"github.com/cilium/cilium/pkg/completion"
	"github.com/cilium/cilium/pkg/envoy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/spanstat"
	"github.com/cilium/cilium/pkg/u8proto"
)

type stats struct{ wait, calc spanstat.SpanStat }

func (s *stats) WaitingForPolicyRepository() *spanstat.SpanStat { return &s.wait }
func (s *stats) SelectorPolicyCalculation() *spanstat.SpanStat  { return &s.calc }

func socketDir(run string) string { return envoy.GetSocketDir(run) }

func (a *Agent) addSubject(id *identity.Identity) { a.local.Add(id) }

func (a *Agent) resolve(id *identity.Identity, e *Endpoint) (policy.SelectorPolicy, uint64, error) {
	return a.repo.GetSelectorPolicy(id, 0, &stats{}, e.GetID())
}

func (a *Agent) publish(e *Endpoint, p *policy.EndpointPolicy, wg *completion.WaitGroup) error {
	err, _ := a.server.UpdateNetworkPolicy(e, p, wg)
	return err
}

func (a *Agent) listen(name string, l Listener, wg *completion.WaitGroup, done func(error)) error {
	return a.server.AddListener(name, policy.L7ParserType(l.Kind), l.Port, l.Ingress, l.OriginalSource, wg, done)
}

func (a *Agent) published() (map[string]*cilium.NetworkPolicy, error) {
	return a.server.GetNetworkPolicies(nil)
}

func (e *Endpoint) GetNamedPort(_ bool, name string, _ u8proto.U8proto) uint16 { return e.Ports[name] }
func (e *Endpoint) PreviousMapState() *policy.MapState                         { return nil }
