package main

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"time"
	"unsafe"

	"github.com/cilium/dns"

	"github.com/cilium/cilium/api/v1/models"
	fakeTypes "github.com/cilium/cilium/pkg/datapath/fake/types"
	"github.com/cilium/cilium/pkg/endpoint"
	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/cilium/pkg/fqdn/messagehandler"
	"github.com/cilium/cilium/pkg/fqdn/namemanager"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/maps/ctmap"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/proxy/accesslog"
	testidentity "github.com/cilium/cilium/pkg/testutils/identity"
	testipcache "github.com/cilium/cilium/pkg/testutils/ipcache"
	"github.com/cilium/cilium/pkg/u8proto"
)

// The numbers of the agent's own flags.
const (
	nameLockCount    = 131
	addressesAName   = 1000
	deferredDeletes  = 10000
	responseMaxDelay = 100 * time.Millisecond
)

// serveNames makes the agent's DNS proxy listen, with the agent's own handler of what it sees. The datapath would bring
// questions to it and tell whom they were for: here that is always `server`.
func (a *Agent) serveNames(server netip.AddrPort, cache *ipcache.IPCache, log accesslog.ProxyAccessLogger) error {
	option.Config.DNSProxyLockTimeout = 500 * time.Millisecond
	option.Config.FQDNProxyResponseMaxDelay = responseMaxDelay
	option.Config.ToFQDNsMaxIPsPerHost = addressesAName
	option.Config.ToFQDNsMaxDeferredConnectionDeletes = deferredDeletes
	names := namemanager.New(namemanager.ManagerParams{
		Logger:  a.logger,
		Config:  namemanager.NameManagerConfig{DNSProxyLockCount: nameLockCount, EnableIPv4: true, EnableIPv6: true},
		IPCache: cache,
	})
	handler := messagehandler.NewDNSMessageHandler(messagehandler.DNSMessageHandlerParams{
		Logger: a.logger, NameManager: names, ProxyAccessLogger: log,
	})
	who := &whoIsWho{byAddress: map[netip.Addr]*endpoint.Endpoint{}, identities: map[netip.Addr]identity.NumericIdentity{}}
	if err := who.learn(a); err != nil {
		return err
	}
	config := dnsproxy.DNSProxyConfig{
		Logger: a.logger, IPv4: true, EnableDNSCompression: true, MaxRestoreDNSIPs: 1000,
	}
	a.dns = dnsproxy.NewDNSProxy(config, who, handler.NotifyOnDNSMsg)
	a.leadTo(server)
	if err := a.dns.Listen(0); err != nil {
		return err
	}
	handler.SetBindPort(a.dns.GetBindPort())
	emit("names", map[string]any{"address": fmt.Sprintf("127.0.0.1:%d", a.dns.GetBindPort())})
	return nil
}

// leadTo sets what the package's own tests set: the field is not exported.
func (a *Agent) leadTo(server netip.AddrPort) {
	field := reflect.ValueOf(a.dns).Elem().FieldByName("lookupTargetDNSServer")
	target := (*func(dns.ResponseWriter) (u8proto.U8proto, netip.AddrPort, error))(unsafe.Pointer(field.UnsafeAddr()))
	*target = func(w dns.ResponseWriter) (u8proto.U8proto, netip.AddrPort, error) {
		if w.LocalAddr().Network() == "tcp" {
			return u8proto.TCP, server, nil
		}
		return u8proto.UDP, server, nil
	}
}

// whoIsWho answers from the scene what the endpoint manager and the ipcache would.
type whoIsWho struct {
	byAddress  map[netip.Addr]*endpoint.Endpoint
	identities map[netip.Addr]identity.NumericIdentity
}

func (w *whoIsWho) learn(a *Agent) error {
	for _, known := range a.scene.Identities {
		for _, text := range known.IPs {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return err
			}
			w.identities[prefix.Addr()] = identity.NumericIdentity(known.ID)
		}
	}
	for _, e := range a.scene.Endpoints {
		made, err := a.realEndpoint(e)
		if err != nil {
			return err
		}
		w.byAddress[netip.MustParseAddr(e.IPv4)] = made
	}
	return nil
}

func (a *Agent) realEndpoint(e *Endpoint) (*endpoint.Endpoint, error) {
	state := models.EndpointState(endpoint.StateReady)
	model := &models.EndpointChangeRequest{
		ID: int64(e.ID), State: &state, Properties: map[string]any{endpoint.PropertyFakeEndpoint: true},
	}
	made, err := endpoint.NewEndpointFromChangeModel(context.Background(), a.logger, nil, &endpoint.MockEndpointBuildQueue{},
		nil, nil, nil, nil, nil, a.local, nil, nil, a.repo, testipcache.NewMockIPCache(), &endpoint.FakeEndpointProxy{},
		testidentity.NewMockIdentityAllocator(nil), ctmap.NewFakeGCRunner(), nil, model,
		fakeTypes.WireguardConfig{}, fakeTypes.IPsecConfig{}, nil, nil)
	if err != nil {
		return nil, err
	}
	numeric := identity.NumericIdentity(e.Identity)
	made.SecurityIdentity = identity.NewIdentityFromLabelArray(numeric, a.ids[numeric])
	return made, nil
}

func (w *whoIsWho) LookupSecIDByIP(ip netip.Addr) (ipcache.Identity, bool) {
	id, found := w.identities[ip]
	return ipcache.Identity{ID: id}, found
}

func (w *whoIsWho) LookupByIdentity(nid identity.NumericIdentity) (addresses []string) {
	for address, id := range w.identities {
		if id == nid {
			addresses = append(addresses, address.String())
		}
	}
	return addresses
}

func (w *whoIsWho) LookupRegisteredEndpoint(address netip.Addr) (*endpoint.Endpoint, bool, error) {
	if found := w.byAddress[address]; found != nil {
		return found, false, nil
	}
	return nil, false, fmt.Errorf("nobody has the address %s", address)
}
