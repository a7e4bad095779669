module example.test/hubble

go 1.26

require github.com/cilium/cilium v1.19.5

replace github.com/osrg/gobgp/v3 => github.com/cilium/gobgp/v3 v3.0.0-20260130142103-27e5da2a39e6
