/** The part `redirect` of the configuration: what `sallyport redirect` sets up on this node. */
import { absentAsNull, list, mapping, optional } from './field.ts';
import {
  choiceField,
  integerField,
  pathField,
  quantityField,
  switchField,
  textField,
} from './scalar_fields.ts';

/** Names of Linux network interfaces: IFNAMSIZ leaves 15 characters. */
const INTERFACE_NAME = /^[^\s/:\u0000]{1,15}$/;

/** As INTERFACE_NAME; `*` stands for any characters. */
const INTERFACE_PATTERN = INTERFACE_NAME;

/**
 * What the host's end of a pod's veth is called: bridge, ptp, flannel, kindnet and others; Calico; Cilium; the
 * cloud CNIs of AWS, Azure and Google.
 */
export const POD_INTERFACES: readonly string[] = [
  ...['veth*', 'cali*', 'lxc*', 'eni*', 'azv*', 'gke*'],
];

const GROUP_MAX = 0xffff_fffe;
/** The kernel's own rules stand at 0 and 32766. */
const RULE_PRIORITY_MAX = 32_764;
const ROUTE_TABLE_MAX = 0xffff_ffff;
const SETTLE_MS_MAX = 60_000;

export const redirectFields = mapping({
  root: optional(
    pathField(),
    'Folder on a bpffs where programs, links and maps are pinned; nothing else may use it.',
    '/sys/fs/bpf/sallyport',
  ),
  uplinks: optional(
    list(textField(INTERFACE_NAME, 'an interface name of at most 15 characters'), { countMin: 0 }),
    'Interfaces by which traffic arrives from other nodes and from outside.',
    [],
  ),
  findUplinks: optional(
    switchField(),
    'Find such interfaces, too: those of default routes and of routes with a gateway. Interfaces of pods, and those that `interfaces` claims, are none.',
    false,
  ),
  interfaces: absentAsNull(
    list(
      textField(INTERFACE_PATTERN, 'an interface name of at most 15 characters, with * for any'),
      {
        countMin: 0,
      },
    ),
    `Names of interfaces that the redirect claims, such as "lxc*": such an interface lets nothing through until it is known whose it is. Where interfaces are found: by default ${POD_INTERFACES.join(', ')}; else none.`,
  ),
  findInterfaces: optional(
    switchField(),
    'Find the interface of endpoints that name none, by routes, by what CNI plugins answered and by processes. With `kubernetes` it is always so.',
    false,
  ),
  otherBridges: optional(
    list(textField(INTERFACE_NAME, 'an interface name of at most 15 characters'), { countMin: 0 }),
    'Bridges of other programs, such as docker0: their ports are not claimed.',
    [],
  ),
  cniResults: optional(
    pathField(),
    'Folder where the container runtime keeps what CNI plugins answered.',
    '/var/lib/cni/results',
  ),
  host: optional(
    choiceField(['always', 'policy']),
    'Traffic of the host itself to its endpoints: always allowed (like Cilium’s allow-localhost), or judged by policy, in kernel and proxy alike.',
    'always',
  ),
  dns: optional(
    choiceField(['judge', 'allow']),
    'UDP to which DNS rules apply: each question goes to the proxy and is judged by its name, or all pass without a look at the names.',
    'judge',
  ),
  services: optional(
    choiceField(['none', 'socket']),
    'Addresses of Services (ClusterIPs, external and load balancer addresses, NodePorts): left to kube-proxy, or translated at the socket that dials one, before policy sees the connection.',
    'none',
  ),
  cgroupRoot: absentAsNull(
    pathField(),
    'With `services: socket`: folder of the cgroup (v2) whose programs are translated. By default the root of the hierarchy: pods and host.',
  ),
  settleMs: optional(
    quantityField({ min: 0, max: SETTLE_MS_MAX }, 'milliseconds'),
    'How long a change waits before the kernel gets it, so that proxies have compiled it first.',
    500,
  ),
  routeTable: optional(
    integerField({ min: 1, max: ROUTE_TABLE_MAX }),
    'Routing table that delivers marked packets to this node; nothing else may use it.',
    2005,
  ),
  rulePriority: optional(
    integerField({ min: 2, max: RULE_PRIORITY_MAX }),
    'Priority of the routing rule for marked packets; the priorities just before and after it are used, too.',
    90,
  ),
  group: optional(
    integerField({ min: 0, max: GROUP_MAX }),
    'Numeric group of the proxy. The group may read the records of redirected connections and register listeners.',
    1337,
  ),
});
