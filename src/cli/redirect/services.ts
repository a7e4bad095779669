/**
 * The loader's part of `redirect.services`: tables first, then the hooks that ask them; with `none` both are taken
 * away. What the last loader left stays in force until it is known what Services there are.
 */

import type { Config } from '../../config/config.ts';
import type { FrontendSet } from '../../control/service/service_frontends.ts';
import { type IpAddress, isLoopback, parseIp } from '../../model/address.ts';
import type { ServiceFrontend } from '../../model/service_frontend.ts';
import { toldProblems } from '../../observe/told_problems.ts';
import type { LostSockets } from '../../redirect/services/lost_sockets.ts';
import type { NodeServices } from '../../redirect/services/node_services.ts';
import type { ServicesInForce, ServiceUpdate } from '../../redirect/services/service_tables.ts';
import { errorText } from '../../text/error_text.ts';
import type { RedirectNode } from './node.ts';

export interface LoaderServicesOptions {
  readonly config: Config;
  readonly node: Pick<RedirectNode, 'services' | 'nowNs'>;
  /** Of the policy set in force; null: it is not known. The very same one, when nothing changed. */
  readonly frontends: () => FrontendSet | null;
}

interface Applied {
  readonly set: FrontendSet;
  readonly addresses: readonly string[];
  readonly inForce: ServicesInForce;
}

export class LoaderServices {
  readonly #options: LoaderServicesOptions;
  #services: NodeServices | null = null;
  #applied: Applied | null = null;
  #told: ReadonlySet<string> = new Set();
  /** When sockets that lost their backend are to be looked for; null: none did. */
  #lookAtMs: number | null = null;
  #restUntilMs = 0;
  #toldLeft: ReadonlySet<string> = new Set();

  constructor(options: LoaderServicesOptions) {
    this.#options = options;
  }

  /** One line for each thing that was done. Throws when the kernel does not take it; the node's own addresses. */
  start(addresses: readonly string[]): readonly string[] {
    const { config, node } = this.#options;
    if (config.redirect.services === 'none') {
      const isRemoved = node.services.remove(config.redirect.root);
      return isRemoved ? ['removed the hooks of Services: redirect.services is none'] : [];
    }
    this.#applied = null;
    this.#services?.close();
    this.#services = node.services.open(config);
    const update = this.put(addresses);
    this.#services.attach();
    const kept = this.#services.isReused ? 'what the last loader left' : 'nothing';
    return [
      update === null
        ? `Services are not known yet: ${kept} is translated at sockets`
        : `Services are translated at sockets: ${updateText(update)}`,
    ];
  }

  /** Null: what is in force says the same already. Throws when it cannot be written; the next time all is compared. */
  put(addresses: readonly string[]): ServiceUpdate | null {
    if (this.#services === null) return null;
    this.#services.sweep();
    const set = this.#options.frontends();
    if (set === null) return null;
    if (this.#applied?.set === set && this.#applied.addresses.join() === addresses.join())
      return null;
    const before = this.#applied?.set ?? null;
    this.#applied = null;
    const nodeAddresses = addresses.flatMap((text) => parseIp(text) ?? []).filter(isSameInPods);
    const inForce = { frontends: set.frontends, nodeAddresses };
    const update = this.#services.apply(inForce);
    this.#applied = { set, addresses, inForce };
    if (mayHaveLost(before, set)) this.#noteLost();
    return update;
  }

  /**
   * Sockets that are connected to a backend that has gone, see `closeLostSockets`. Null: it is not the time, as programs
   * may be at work with what was before, or one look after the other would be too much.
   */
  async closeLost(): Promise<LostSockets | null> {
    const beganMs = this.#nowMs;
    if (this.#services === null || this.#applied === null) return null;
    if (this.#lookAtMs === null || beganMs < this.#lookAtMs) return null;
    this.#lookAtMs = null;
    const { closed, problems } = await this.#services.closeLost(this.#applied.inForce);
    this.#restUntilMs = this.#nowMs + (this.#nowMs - beganMs) * REST_FACTOR;
    const news = problems.filter((one) => !this.#toldLeft.has(one));
    this.#toldLeft = new Set(problems);
    return { closed, problems: news };
  }

  #noteLost(): void {
    const { redirectGraceMs } = this.#options.config.limits;
    this.#lookAtMs ??= Math.max(this.#nowMs + redirectGraceMs, this.#restUntilMs);
  }

  get #nowMs(): number {
    return Number(this.#options.node.nowNs() / NS_PER_MS);
  }

  /** Of the Services in force: addresses that several claim. Each is told once, until that is over. */
  takeProblems(): readonly string[] {
    const problems = this.#applied?.set.problems ?? [];
    const news = problems.filter((one) => !this.#told.has(one));
    this.#told = new Set(problems);
    const { policyWarningCountMax: countMax } = this.#options.config.limits;
    return toldProblems(news, { textOf: (one) => one, countMax });
  }

  /** Hooks that somebody took away, a cgroup that was made anew: what was repaired. */
  repair(addresses: readonly string[]): readonly string[] {
    if (this.#services === null) return [];
    const { config, node } = this.#options;
    const inspection = node.services.inspect(config);
    if (inspection !== null && inspection.missingHooks.length === 0) return [];
    this.start(addresses);
    return ['attached the hooks of Services again'];
  }

  /** What is pinned and attached stays so. */
  close(): void {
    this.#services?.close();
    this.#services = null;
  }
}

const NS_PER_MS = 1_000_000n;
/** At most one part in so many of the time is spent with looking for sockets. */
const REST_FACTOR = 20;

/** Nothing is lost by what is new. `before`: null, another loader may have seen more. */
function mayHaveLost(before: FrontendSet | null, now: FrontendSet): boolean {
  const isUdp = ({ protocol }: ServiceFrontend): boolean => protocol === 'UDP';
  if (before === null) return now.frontends.some(isUdp);
  const kept = new Set(now.frontends);
  return before.frontends.some((one) => isUdp(one) && !kept.has(one));
}

/** False: in a pod ::1 is the pod, and fe80::1 may be anybody on its link. */
function isSameInPods({ text, family, bytes: [first = 0, second = 0] }: IpAddress): boolean {
  if (isLoopback({ ip: text, family })) return false;
  return family === 4 || first !== 0xfe || (second & 0xc0) !== 0x80;
}

/** What is left to kube-proxy, or to nobody, is told. */
export function updateText({
  frontendCount,
  backendCount,
  written,
  removed,
  left,
}: ServiceUpdate): string {
  const all = `${frontendCount} addresses of Services with ${backendCount} backends in force`;
  const [first] = left;
  const others =
    first === undefined
      ? ''
      : `; ${left.length} are left as they are, such as ${first.protocol} of ${first.service}`;
  return `${all}, ${written} written, ${removed} removed${others}`;
}

export function lostText({ closed }: LostSockets): readonly string[] {
  return closed === 0 ? [] : [`closed ${closed} UDP sockets whose backend has gone`];
}

/** In plain words; empty: all is well. */
export function servicesProblems(
  config: Config,
  node: Pick<RedirectNode, 'services'>,
): readonly string[] {
  const { services } = config.redirect;
  try {
    const inspection = node.services.inspect(config);
    if (services === 'none') return inspection === null ? [] : [LEFT];
    if (inspection === null) return ['Services are not translated: redirect up does it'];
    const missing = inspection.missingHooks.join(', ');
    return missing === '' ? [] : [`Services are not translated everywhere: no hook at ${missing}`];
  } catch (error) {
    return [`the hooks of Services cannot be read: ${errorText(error)}`];
  }
}

const LEFT =
  'Services are translated, and redirect.services is none: redirect up takes the hooks away';
