/**
 * Rules and routes that deliver what the programs marked to this node, whatever its destination:
 *
 *     89: fwmark 0x200/0xf00 iif lo → goto main     replies of ours carry the mark of what they answer
 *     90: fwmark 0x200/0xf00        → table 2005    local default dev lo
 *     91: fwmark 0x200/0xf00        → blackhole     should one of both be taken away
 *
 * Idempotent, for IPv4 and IPv6. Without them a marked packet would be routed to where it says it goes,
 * past the proxy: they are there before the first program and go after the last one. Where lo has no
 * IPv6 nothing can be delivered, and the last rule is all there is.
 */
import { MARK_MAGIC_MASK, MARK_TO_PROXY } from '../layout.ts';
import { type RunCommand, saidBy } from './command.ts';
import { type Entry, parseJsonList } from './links.ts';

export interface RoutingOptions {
  readonly table: number;
  /** Of the rule for the table; the one before it and the one after it are taken, too. */
  readonly priority: number;
  /** False: IPv6 is switched off on lo, and routes to it cannot be made. */
  readonly hasIpv6: () => boolean;
}

export type Family = 4 | 6;

export interface RoutingState {
  /** In plain words, "IPv4 rule 90 (fwmark 0x200/0xf00 lookup 2005)". */
  readonly missing: readonly string[];
  readonly problems: readonly string[];
}

const FAMILIES: readonly Family[] = [4, 6];
const MAIN_PRIORITY = 32_766;
const MARK = `0x${MARK_TO_PROXY.toString(16)}`;
const MASK = `0x${MARK_MAGIC_MASK.toString(16)}`;

interface Step {
  readonly about: string;
  readonly isThere: boolean;
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

type StepsResult =
  | { readonly kind: 'steps'; readonly steps: readonly Step[] }
  /** The kernel has no such family: then it has no such packets, either. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'error'; readonly message: string };

export class Routing {
  readonly #run: RunCommand;
  readonly #options: RoutingOptions;

  constructor(run: RunCommand, options: RoutingOptions) {
    this.#run = run;
    this.#options = options;
  }

  async check(): Promise<RoutingState> {
    const missing: string[] = [];
    const problems: string[] = [];
    for (const family of FAMILIES) {
      const result = await this.#steps(family);
      if (result.kind === 'error') problems.push(result.message);
      if (result.kind !== 'steps') continue;
      missing.push(...result.steps.filter(({ isThere }) => !isThere).map(({ about }) => about));
    }
    return { missing, problems };
  }

  /** Adds what is missing. `done` says what; problems leave the rest undone. */
  async ensure(): Promise<{
    readonly done: readonly string[];
    readonly problems: readonly string[];
  }> {
    return this.#change('add', ({ isThere }) => !isThere);
  }

  async remove(): Promise<{
    readonly done: readonly string[];
    readonly problems: readonly string[];
  }> {
    return this.#change('remove', ({ isThere }) => isThere);
  }

  async #change(what: 'add' | 'remove', wants: (step: Step) => boolean) {
    const done: string[] = [];
    const problems: string[] = [];
    for (const family of FAMILIES) {
      const result = await this.#steps(family);
      if (result.kind === 'error') problems.push(result.message);
      if (result.kind !== 'steps') continue;
      // Taken away in the other order: the rule before the route that it leads to.
      const steps = what === 'add' ? result.steps : result.steps.toReversed();
      for (const step of steps.filter(wants)) {
        const changed = await this.#run('ip', [`-${family}`, ...step[what]]);
        if (changed.code === 0) done.push(step.about);
        else problems.push(`${step.about}: ${saidBy(changed)}`);
      }
    }
    return { done, problems };
  }

  /** In this order no marked packet finds another way: the guard first, last what leads to the route. */
  async #steps(family: Family): Promise<StepsResult> {
    const { table, priority } = this.#options;
    const rules = await this.#list(family, ['rule', 'show']);
    if (rules.kind !== 'entries') return rules;
    const routes = await this.#list(family, ['route', 'show', 'table', String(table)]);
    if (routes.kind !== 'entries') return routes;
    const taken = rules.entries.find((rule) => this.#isForeign(rule));
    const canDeliver = family === 4 || this.#options.hasIpv6();
    if (taken !== undefined) {
      const message = `IPv${family}: rule priority ${String(taken['priority'])} is taken by another rule; choose another redirect.rulePriority`;
      return { kind: 'error', message };
    }
    const own = ['fwmark', `${MARK}/${MASK}`];
    const route = ['local', 'default', 'dev', 'lo', 'table', String(table)];
    const spare = [
      'priority',
      String(priority - 1),
      'iif',
      'lo',
      ...own,
      'goto',
      `${MAIN_PRIORITY}`,
    ];
    const guard = ['priority', String(priority + 1), ...own, 'blackhole'];
    const lead = ['priority', String(priority), ...own, 'lookup', String(table)];
    const has = (isOwn: (rule: Entry) => boolean): boolean => rules.entries.some(isOwn);
    const stepOf = (kind: 'rule' | 'route', words: readonly string[], isThere: boolean): Step => ({
      about: `IPv${family} ${kind} ${words.join(' ')}`,
      isThere,
      add: [kind, 'add', ...words],
      remove: [kind, 'del', ...words],
    });
    return {
      kind: 'steps',
      steps: [
        stepOf(
          'rule',
          guard,
          has((rule) => this.#isGuardRule(rule)),
        ),
        ...(canDeliver ? [stepOf('route', route, routes.entries.some(isOwnRoute))] : []),
        stepOf(
          'rule',
          spare,
          has((rule) => this.#isSpareRule(rule)),
        ),
        stepOf(
          'rule',
          lead,
          has((rule) => this.#isLeadRule(rule)),
        ),
      ],
    };
  }

  async #list(family: Family, words: readonly string[]) {
    const result = await this.#run('ip', ['-j', `-${family}`, ...words]);
    const said = saidBy(result);
    // A table without routes is no table to iproute2.
    if (result.code !== 0 && /table does not exist/.test(said)) {
      return { kind: 'entries', entries: [] } as const;
    }
    if (result.code !== 0 && /not supported/.test(said)) return { kind: 'absent' } as const;
    const entries = result.code === 0 ? parseJsonList(result.stdout) : null;
    if (entries !== null) return { kind: 'entries', entries } as const;
    return { kind: 'error', message: `ip -${family} ${words.join(' ')}: ${said}` } as const;
  }

  #isForeign(rule: Entry): boolean {
    const { priority } = this.#options;
    if (rule['priority'] === priority) return !this.#isLeadRule(rule);
    if (rule['priority'] === priority + 1) return !this.#isGuardRule(rule);
    return rule['priority'] === priority - 1 && !this.#isSpareRule(rule);
  }

  #isGuardRule(rule: Entry): boolean {
    return (
      rule['priority'] === this.#options.priority + 1 &&
      isMarkRule(rule) &&
      rule['iif'] === undefined &&
      rule['action'] === 'blackhole'
    );
  }

  #isLeadRule(rule: Entry): boolean {
    const { table, priority } = this.#options;
    return (
      rule['priority'] === priority &&
      isMarkRule(rule) &&
      rule['iif'] === undefined &&
      String(rule['table']) === String(table)
    );
  }

  #isSpareRule(rule: Entry): boolean {
    return (
      rule['priority'] === this.#options.priority - 1 &&
      isMarkRule(rule) &&
      rule['iif'] === 'lo' &&
      rule['goto'] === MAIN_PRIORITY
    );
  }
}

function isMarkRule(rule: Entry): boolean {
  return (
    rule['src'] === 'all' &&
    rule['dst'] === undefined &&
    rule['fwmark'] === MARK &&
    rule['fwmask'] === MASK
  );
}

function isOwnRoute(route: Entry): boolean {
  return route['type'] === 'local' && route['dst'] === 'default' && route['dev'] === 'lo';
}
