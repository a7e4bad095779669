/** The doors of `sallyport redirect` to the node, in one place, so that tests have their own. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../config/config.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Timers } from '../../platform/platform.ts';
import { type BpffsResult, ensureBpffs } from '../../redirect/host/bpffs.ts';
import { cgroupRoot, isCgroup2, isCgroupRoot } from '../../redirect/host/cgroup_root.ts';
import { nodeCommands, type RunCommand } from '../../redirect/host/command.ts';
import { type WatchLinks, watchLinks } from '../../redirect/host/link_monitor.ts';
import { linksStamp } from '../../redirect/host/links.ts';
import { isLocked, type LockResult, takeLock } from '../../redirect/host/lock.ts';
import { Routing } from '../../redirect/host/routing.ts';
import { IPV6_OFF_ON_LOOPBACK, procSysctl, type Sysctl } from '../../redirect/host/sysctl.ts';
import {
  type Inspection,
  inspect,
  type LostLinks,
  lostLinks,
  noteObject,
} from '../../redirect/inspect.ts';
import { CniResults } from '../../redirect/interfaces/cni_results.ts';
import type { WaitCounts } from '../../redirect/interfaces/interface_waits.ts';
import { openNetnsIds } from '../../redirect/interfaces/netns_ids.ts';
import {
  PodInterfaces,
  type PodInterfacesOptions,
} from '../../redirect/interfaces/pod_interfaces.ts';
import { PodProcesses } from '../../redirect/interfaces/pod_processes.ts';
import { watchResults } from '../../redirect/interfaces/results_watch.ts';
import { Routes } from '../../redirect/interfaces/routes.ts';
import { notedWaits, noteWaits } from '../../redirect/interfaces/wait_note.ts';
import type { Datapath } from '../../redirect/kernel/api.ts';
import { openDatapath, removeDatapath } from '../../redirect/kernel/datapath.ts';
import { missingFeatures } from '../../redirect/kernel/features.ts';
import { checkObject } from '../../redirect/kernel/manifest.ts';
import { LAYOUT_VERSION } from '../../redirect/layout.ts';
import {
  inspectServices,
  type ServicesInspection,
} from '../../redirect/services/inspect_services.ts';
import { type NodeServices, openNodeServices } from '../../redirect/services/node_services.ts';
import { removeSocketHooks } from '../../redirect/services/socket_hooks.ts';
import { type BesideCilium, besideCilium } from '../beside_cilium.ts';

export interface RedirectNode {
  readonly run: RunCommand;
  readonly sysctl: Sysctl;
  readonly timers: Timers;
  /** Whether the agent of Cilium runs here, and what to do then. */
  readonly besideCilium: (config: Config) => Promise<BesideCilium>;
  /** In plain words; none: all is there. */
  readonly missingFeatures: () => readonly string[];
  readonly ensureBpffs: (root: string) => BpffsResult;
  readonly takeLock: (root: string) => Promise<LockResult>;
  readonly openDatapath: (config: Config) => Datapath;
  readonly inspect: (root: string) => Inspection | null;
  /** See `linksStamp`. */
  readonly linksStamp: () => string | null;
  /** Who finds interfaces of pods, on this node. */
  readonly podInterfaces: (config: Config) => PodInterfaces;
  /** See `watchLinks`. */
  readonly watchLinks: WatchLinks;
  /** See `watchResults`. */
  readonly watchResults: (config: Config, onNews: () => void) => () => void;
  /** See `lostLinks`, of this network namespace. */
  readonly lostLinks: (root: string, interfaces: Iterable<number>) => LostLinks | null;
  /** True while a loader is at work. */
  readonly isLocked: (root: string) => boolean;
  /** SHA-256 of the object that would be loaded; null: it is not built here. */
  readonly builtObject: () => string | null;
  /** Inode of this network namespace. */
  readonly netns: () => number;
  /** As bpf_ktime_get_ns. */
  readonly nowNs: () => bigint;
  /** For `status`: which object the programs are from. */
  readonly noteObject: (datapath: Datapath) => void;
  /** For `status` and the metrics of the proxy: see `noteWaits`. */
  readonly noteWaits: (config: Config, counts: WaitCounts) => void;
  /** See `notedWaits`. */
  readonly notedWaits: (config: Config) => WaitCounts | null;
  readonly removeDatapath: (root: string) => void;
  readonly services: ServicesDoor;
}

/** Services at the sockets of this node. */
export interface ServicesDoor {
  /** Throws when the kernel does not take it. */
  readonly open: (config: Config) => NodeServices;
  /** Null: nothing is pinned. */
  readonly inspect: (config: Config) => ServicesInspection | null;
  /** False: there was nothing. */
  readonly remove: (root: string) => boolean;
}

/** What `npm run build:bpf` makes; a package and an image bring it along. */
export const OBJECT_PATH = fileURLToPath(
  new URL('../../redirect/bpf/build/sallyport.bpf.o', import.meta.url),
);

export const SERVICES_OBJECT_PATH = fileURLToPath(
  new URL('../../redirect/bpf/build/services.bpf.o', import.meta.url),
);

export const SOCKETS_OBJECT_PATH = fileURLToPath(
  new URL('../../redirect/bpf/build/sockets.bpf.o', import.meta.url),
);

export const OWN_NETNS = '/proc/self/ns/net';

export function thisNode({ limits }: Config): RedirectNode {
  const { timers, clock } = nodePlatform();
  const run = nodeCommands(limits);
  return {
    run,
    sysctl: procSysctl(),
    timers,
    besideCilium,
    missingFeatures: () => missingFeatures(),
    ensureBpffs,
    takeLock,
    openDatapath: ({ redirect }) =>
      openDatapath({ root: redirect.root, objectPath: OBJECT_PATH, proxyGid: redirect.group }),
    noteObject: ({ mapsFolder }) =>
      noteObject(dirname(mapsFolder), checkObject(OBJECT_PATH, LAYOUT_VERSION).object),
    noteWaits: ({ redirect }, counts) => noteWaits(redirect.root, counts),
    notedWaits: ({ redirect }) => notedWaits(redirect.root),
    removeDatapath,
    inspect,
    linksStamp,
    podInterfaces: (config) => podInterfaces(config, { run, nowMs: () => clock.nowMs() }),
    watchLinks: (events) => watchLinks({ timers, retryMs: limits.redirectRetryMs }, events),
    watchResults: ({ redirect }, onNews) =>
      watchResults(
        { folder: redirect.cniResults, timers, retryMs: limits.redirectRetryMs },
        onNews,
      ),
    lostLinks: (root, interfaces) => lostLinks(root, { interfaces, netns: ownNetns() }),
    isLocked,
    builtObject,
    netns: ownNetns,
    nowNs: () => process.hrtime.bigint(),
    services: {
      open: ({ redirect }) => {
        const cgroup = cgroupOf(redirect);
        if (!isCgroup2(cgroup))
          throw new Error(`${cgroup} is no folder of a cgroup2 (redirect.cgroupRoot)`);
        return openNodeServices({
          ...{ root: redirect.root, objectPath: SERVICES_OBJECT_PATH },
          socketsObjectPath: SOCKETS_OBJECT_PATH,
          ...{ cgroup, nowMs: () => clock.nowMs() },
          ...{ graceMs: limits.redirectGraceMs, proxyGid: redirect.group },
        });
      },
      inspect: ({ redirect }) => inspectServices(redirect.root, cgroupOf(redirect)),
      remove: removeSocketHooks,
    },
  };
}

function cgroupOf(redirect: Config['redirect']): string {
  if (redirect.cgroupRoot !== null) return redirect.cgroupRoot;
  const folder = cgroupRoot();
  if (folder === null) throw new Error('cgroup2 is mounted nowhere (redirect.cgroupRoot)');
  if (!isCgroupRoot(folder))
    throw new Error(
      `${folder} is a part of the hierarchy only, in which no pods are: mount the host's, and name it in redirect.cgroupRoot`,
    );
  return folder;
}

function podInterfaces(
  { redirect, limits }: Config,
  { run, nowMs }: Pick<PodInterfacesOptions, 'run' | 'nowMs'>,
): PodInterfaces {
  const results = new CniResults({
    folder: redirect.cniResults,
    fileBytesMax: limits.cniResultBytesMax,
    fileCountMax: limits.cniResultCountMax,
  });
  return new PodInterfaces({
    run,
    witnesses: [new Routes(run), results],
    costly: new PodProcesses({ folder: '/proc', openNetnsIds }),
    nowMs,
  });
}

function ownNetns(): number {
  return statSync(OWN_NETNS).ino;
}

function builtObject(): string | null {
  try {
    return checkObject(OBJECT_PATH, LAYOUT_VERSION).object;
  } catch {
    return null;
  }
}

export function routingOf(config: Config, { run, sysctl }: RedirectNode): Routing {
  const { routeTable, rulePriority } = config.redirect;
  return new Routing(run, {
    table: routeTable,
    priority: rulePriority,
    hasIpv6: () => sysctl.read(IPV6_OFF_ON_LOOPBACK) !== '1',
  });
}

export function sleep(timers: Timers, delayMs: number): Promise<void> {
  return new Promise((resolve) => timers.after(delayMs, resolve));
}
