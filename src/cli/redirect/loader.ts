/**
 * The loader: brings the node to what policy, endpoints and interfaces say, once (`up`) or again and again
 * (`--follow`). Its order is what leaves no packet unjudged, and nothing half-redirected:
 *
 *     rules and routes → lookup program → tables → programs on interfaces → older pins go → older tables go
 *                                                    Services: tables → hooks
 */

import type { Config } from '../../config/config.ts';
import type { KernelTable } from '../../policy/kernel/kernel_table.ts';
import type { SeenLink } from '../../redirect/host/link_monitor.ts';
import { type NodeLinks, readLinks } from '../../redirect/host/links.ts';
import { TCP_MIGRATE_REQ } from '../../redirect/host/sysctl.ts';
import { InterfaceWaits, type WaitNews } from '../../redirect/interfaces/interface_waits.ts';
import type { PodInterfaces } from '../../redirect/interfaces/pod_interfaces.ts';
import type { Datapath } from '../../redirect/kernel/api.ts';
import { type Applied, NodeRedirect } from '../../redirect/node_redirect.ts';
import { isClaimed, type TablePlan } from '../../redirect/plan.ts';
import type { LostSockets } from '../../redirect/services/lost_sockets.ts';
import type { ServiceUpdate } from '../../redirect/services/service_tables.ts';
import type { TableDelta } from '../../redirect/table_delta.ts';
import { errorText } from '../../text/error_text.ts';
import { OWN_NETNS, type RedirectNode, routingOf, sleep } from './node.ts';
import {
  findingProblems,
  findUplinks,
  interfaceless,
  interfacelessTexts,
  type NodeSight,
} from './node_sight.ts';
import { NodePolicy, type Waiting } from './policy.ts';
import { LoaderServices, lostText } from './services.ts';

export interface LoaderReport {
  /** What was done, one line each. */
  readonly done: readonly string[];
  /** What works otherwise than one may think. */
  readonly warnings: readonly string[];
}

/** Something that keeps the node from being brought up; what was in force still is. */
export class LoaderError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

export class RedirectLoader {
  readonly policy: NodePolicy;
  readonly #config: Config;
  readonly #node: RedirectNode;
  #datapath: Datapath | null = null;
  #redirect: NodeRedirect | null = null;
  readonly #interfaces: PodInterfaces | null;
  readonly #waits: InterfaceWaits;
  readonly #services: LoaderServices;
  /** That was applied last. */
  #plan: TablePlan | null = null;

  constructor(config: Config, node: RedirectNode) {
    this.#config = config;
    this.#node = node;
    this.policy = new NodePolicy(config, { isKept: true });
    const frontends = () => this.policy.frontends;
    this.#services = new LoaderServices({ config, node, frontends });
    this.#interfaces = config.redirect.areInterfacesFound ? node.podInterfaces(config) : null;
    const nowMs = (): number => Number(node.nowNs() / NS_PER_MS);
    this.#waits = new InterfaceWaits(config.limits.redirectInterfaceWaitMs, nowMs);
  }

  /** Throws a LoaderError; then nothing is in force that was not before. Null, and the same: it ended while it waited. */
  async start(waiting: Waiting | null = null): Promise<LoaderReport | null> {
    this.#checkNode();
    const beside = await this.#node.besideCilium(this.#config);
    if (beside.refusal !== null) throw new LoaderError([beside.refusal]);
    const read = await this.policy.start(waiting);
    if (read === null) return null;
    if (read.kind === 'rejected') throw new LoaderError(read.problems);
    const sight = await this.look();
    const done = [...(await this.#prepareNode(sight.links))];
    const { datapath, redirect } = this.#reopen();
    const plan = this.policy.plan(sight);
    const applied = redirect.apply(plan);
    this.#plan = plan;
    datapath.commit();
    done.push(...appliedTexts(applied, plan), datapathText(datapath));
    // Who is translated meets programs that judge already.
    done.push(...this.#startServices(sight));
    const warnings = [
      ...beside.notes,
      ...this.#misunderstandings(plan),
      ...(read.kind === 'changed' ? read.warnings : []),
      ...missingTexts(plan),
      ...this.takeServiceProblems(),
      ...findingProblems(sight, this.#config),
      ...interfacelessTexts(sight, this.#config),
      ...applied.problems,
    ];
    this.await(sight);
    await this.settle();
    const lost = await this.closeLostSockets();
    if (lost !== null) {
      done.push(...lostText(lost));
      warnings.push(...lost.problems);
    }
    return { done, warnings };
  }

  /** Throws when the tables cannot be written; what was in force still is. */
  apply(sight: NodeSight): { readonly applied: Applied; readonly plan: TablePlan } {
    if (this.#redirect === null) throw new Error('the loader was not started');
    const plan = this.policy.plan(sight);
    const applied = this.#redirect.apply(plan);
    this.#plan = plan;
    return { applied, plan };
  }

  /** What came of waiting since the last time. */
  await(sight: NodeSight): WaitNews {
    if (this.#interfaces === null || this.#plan === null) return NO_NEWS;
    const { attached, claimed } = this.#plan;
    const names = new Map([...sight.links.interfaces].map(([name, ifindex]) => [ifindex, name]));
    const news = this.#waits.update({
      closed: new Map(claimed.map((ifindex) => [ifindex, names.get(ifindex) ?? '?'])),
      pods: interfaceless(sight, this.#config),
      open: new Set([...attached].flatMap(([ifindex, owner]) => (owner === null ? [] : ifindex))),
    });
    this.#node.noteWaits(this.#config, this.#waits.counts);
    return news;
  }

  /** A look may bring together an interface and a pod that wait for each other, and have not waited for long. */
  isLookWorth({ found }: NodeSight): boolean {
    const isPodOut = found !== null && found.unfound.size > 0;
    return isPodOut && (this.#plan?.claimed.length ?? 0) > 0 && this.#waits.isFresh;
  }

  /** Services as they are known now; null: they are in force. Throws when they cannot be written. */
  putServices(): ServiceUpdate | null {
    return this.#services.put(this.#hostAddresses);
  }

  /** See `LoaderServices.repair`. */
  repairServices(): readonly string[] {
    return this.#services.repair(this.#hostAddresses);
  }

  /** See `LoaderServices.closeLost`. */
  closeLostSockets(): Promise<LostSockets | null> {
    return this.#services.closeLost();
  }

  /** See `LoaderServices.takeProblems` and `BehindServices.takeProblems`. */
  takeServiceProblems(): readonly string[] {
    return [...this.#services.takeProblems(), ...this.policy.takeServiceProblems()];
  }

  /** Into the tables in force. Throws when it cannot be written: then `apply` writes all of them. */
  change(delta: TableDelta): number {
    if (this.#redirect === null) throw new Error('the loader was not started');
    return this.#redirect.change(delta);
  }

  /** At once, before anything is read again: a new pod's interface is open until it has the programs. */
  claim({ ifindex, name, master, isGone, address }: SeenLink): boolean {
    const { interfaces, otherBridges } = this.#config.redirect;
    if (isGone || address === null || !isClaimed(interfaces, name)) return false;
    if (master !== null && otherBridges.includes(master)) return false;
    const isNew = this.#redirect?.claim(ifindex) ?? false;
    if (isNew) this.#waits.close(ifindex);
    return isNew;
  }

  /** Its index may be another's right away. True when it was ours: the next `apply` has to say whose it is now. */
  letGo({ ifindex, master, isGone }: SeenLink): boolean {
    // One that only leaves its bridge is told so, too, with the bridge.
    if (!isGone || master !== null) return false;
    return this.#redirect?.letGo(ifindex) ?? false;
  }

  /** Waits for packets that are judged by the tables before, then removes those. */
  async settle(): Promise<void> {
    await sleep(this.#node.timers, this.#config.limits.redirectGraceMs);
    this.#redirect?.removeOthers();
  }

  /** Rules and links that somebody took away, interfaces that were made anew: what was repaired. */
  async repair(): Promise<readonly string[]> {
    const routing = await routingOf(this.#config, this.#node).ensure();
    if (routing.problems.length > 0) throw new LoaderError(routing.problems);
    const { root } = this.#config.redirect;
    const lost = this.#node.lostLinks(root, this.#redirect?.attached ?? []);
    if (lost === null) {
      this.#reopen();
      return ['pinned everything again: somebody had removed the pins'];
    }
    this.#redirect?.forget(lost.interfaces);
    if (lost.isLookupLost) this.#datapath?.attachLookup(OWN_NETNS);
    return [
      ...routing.done.map((about) => `added ${about}`),
      ...lost.interfaces.map((ifindex) => `interface ${ifindex} has to be attached again`),
      ...(lost.isLookupLost ? ['attached proxy_lookup again'] : []),
    ];
  }

  /** Whose interfaces are before which are there: what was found is held against those. */
  async look(): Promise<NodeSight> {
    const { asked, takenInterfaces } = this.policy;
    const found = (await this.#interfaces?.find(asked, takenInterfaces)) ?? null;
    const result = await readLinks(this.#node.run);
    if (result.kind === 'error') throw new LoaderError([result.message]);
    const { links } = result;
    const uplinks = await findUplinks(this.#config, this.#node, { links, taken: takenInterfaces });
    if (uplinks.kind === 'error') throw new LoaderError([uplinks.message]);
    return { links, found, uplinks: uplinks.names };
  }

  /** What is pinned and attached stays so. */
  async close(): Promise<void> {
    await this.policy.stop();
    this.#services.close();
    this.#datapath?.close();
    this.#datapath = null;
  }

  get #hostAddresses(): readonly string[] {
    return this.#plan?.input.hostAddresses ?? [];
  }

  #startServices({ links }: NodeSight): readonly string[] {
    try {
      return this.#services.start(links.addresses);
    } catch (error) {
      throw new LoaderError([`redirect.services: ${errorText(error)}`]);
    }
  }

  /** Configurations that are valid, and seldom what is meant. */
  #misunderstandings(plan: TablePlan): readonly string[] {
    const { behaviour } = this.#config;
    const { policy } = this;
    const warnings: string[] = [];
    if (behaviour.isDryRun) warnings.push(DRY_RUN);
    if (plan.input.endpoints.length === 0) warnings.push(NO_ENDPOINTS);
    if (plan.input.uplinks.length === 0 && hasRedirects(policy.table)) warnings.push(NO_UPLINKS);
    return warnings;
  }

  #checkNode(): void {
    const missing = this.#node.missingFeatures();
    if (missing.length > 0) throw new LoaderError(missing);
    const { root } = this.#config.redirect;
    const bpffs = this.#node.ensureBpffs(root);
    if (bpffs.kind === 'error') throw new LoaderError([bpffs.message]);
  }

  async #prepareNode(links: NodeLinks): Promise<readonly string[]> {
    const { run, sysctl } = this.#node;
    const done: string[] = [];
    if (!links.isLoopbackUp) {
      // Marked packets are delivered by it.
      await run('ip', ['link', 'set', 'lo', 'up']);
      done.push('interface lo was down and is up now');
    }
    const routing = await routingOf(this.#config, this.#node).ensure();
    if (routing.problems.length > 0) throw new LoaderError(routing.problems);
    done.push(...routing.done.map((about) => `added ${about}`));
    const before = sysctl.read(TCP_MIGRATE_REQ);
    if (before !== null && before !== '1') {
      // A container may not; without it a restart resets what waits to be accepted, and nothing worse.
      const because = sysctl.write(TCP_MIGRATE_REQ, '1');
      const what = because === null ? 'is 1 now' : `stays so (${because}); it should be 1`;
      done.push(`${TCP_MIGRATE_REQ} was ${before} and ${what}`);
    }
    return done;
  }

  /** The next `apply` writes all tables and attaches everything. */
  #reopen(): { readonly datapath: Datapath; readonly redirect: NodeRedirect } {
    this.#datapath?.close();
    const datapath = this.#open();
    const { nowNs } = this.#node;
    const adoptMs = this.#config.limits.redirectAdoptMs;
    const redirect = new NodeRedirect(datapath, { adoptMs, nowNs });
    this.#datapath = datapath;
    this.#redirect = redirect;
    datapath.attachLookup(OWN_NETNS);
    this.#node.noteObject(datapath);
    return { datapath, redirect };
  }

  #open(): Datapath {
    try {
      return this.#node.openDatapath(this.#config);
    } catch (error) {
      throw new LoaderError([errorText(error)]);
    }
  }
}

const NO_NEWS: WaitNews = { opened: [], overdue: [] };
const NS_PER_MS = 1_000_000n;

const DRY_RUN =
  'behaviour.dryRun applies to the proxy only: the kernel refuses what it would refuse without it';

const NO_ENDPOINTS = 'no endpoint has an interface on this node: nothing here is judged';
const NO_UPLINKS =
  'redirect.uplinks is empty: connections from outside to ports with L7 rules are refused, because they cannot be redirected';

function hasRedirects({ policies, slots }: KernelTable): boolean {
  return (
    policies.some(({ areas }) => areas.some(({ verdict }) => verdict === 'redirect')) ||
    slots.some((slot) => [...slot.values()].includes('redirect'))
  );
}

export function appliedTexts(applied: Applied, plan: TablePlan): readonly string[] {
  const texts: string[] = [];
  const { update } = applied;
  if (update !== null) {
    const { endpoints, policies } = plan.input;
    texts.push(
      `generation ${update.generation} in force: ${endpoints.length} endpoints, ${policies.length} policies, ${update.entryCount} entries`,
    );
  }
  if (applied.attached > 0) texts.push(`attached ${applied.attached} interfaces`);
  if (applied.detached > 0) texts.push(`detached ${applied.detached} interfaces`);
  if (applied.shut.length > 0) {
    const indexes = applied.shut.join(', ');
    texts.push(
      `blocked: interfaces that no endpoint has any more (index ${indexes}) let nothing through`,
    );
  }
  return texts;
}

export const UNREADABLE =
  'has no Ethernet header, so the programs cannot read it: packets that come by it are judged at the endpoints only';

export function missingTexts(plan: TablePlan): readonly string[] {
  const owners = new Map(plan.input.endpoints.map((one) => [one.interface, one.name]));
  const about = (name: string): string =>
    `interface ${name} of ${owners.get(name) ?? 'redirect.uplinks'}`;
  return [
    ...plan.missingInterfaces.map((name) => `${about(name)} is not there`),
    ...plan.unreadableInterfaces.map((name) => `${about(name)} ${UNREADABLE}`),
  ];
}

function datapathText(datapath: Datapath): string {
  return `${datapath.isReused ? 'kept' : 'made'} maps at ${datapath.mapsFolder}`;
}
