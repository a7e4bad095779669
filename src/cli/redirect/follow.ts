/**
 * `--follow`: a loop with one worker. It is woken by policy that was read, by interfaces that come and by a
 * periodic look at them, and does one thing at a time: take over, wait until the proxies have compiled the same, write,
 * wait out the grace. Whatever fails is logged and tried again; what is in force stays.
 */

import type { Config } from '../../config/config.ts';
import type { Logger } from '../../observe/log/logger.ts';
import type { SeenLink } from '../../redirect/host/link_monitor.ts';
import type { TableDelta } from '../../redirect/table_delta.ts';
import { errorText } from '../../text/error_text.ts';
import { logHealth } from '../../workers/source_health_log.ts';
import { appliedTexts, missingTexts, type RedirectLoader } from './loader.ts';
import { type RedirectNode, sleep } from './node.ts';
import { findingProblems, type NodeSight } from './node_sight.ts';
import { lostText, updateText } from './services.ts';

export interface FollowerOptions {
  readonly config: Config;
  readonly node: RedirectNode;
  readonly loader: RedirectLoader;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export class RedirectFollower {
  readonly #options: FollowerOptions;
  /** Something was read that is not in force yet. */
  #hasReads = true;
  #wake: () => void = () => {};
  /** Of the last links that were applied. */
  #seen = '';
  /** Told once, until it changes: by what was tried. */
  readonly #lastProblems = new Map<string, string>();
  #lastMissing = '';
  #lastUnheard = '';
  /** See `RedirectLoader.isLookWorth`. */
  #isLookWorth = false;
  #isCheckDue = true;
  #isHookCheckDue = true;
  /** Links or addresses are not what they were. */
  #hasNodeNews = false;
  /** Interfaces of ours that have gone. */
  #goneCount = 0;
  /** Of the interfaces when they were last read. */
  #stamp: string | null = null;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Resolves after an abort, and never in the middle of an update. */
  async run(): Promise<void> {
    const { loader, log, signal } = this.#options;
    const reread = (): void => loader.policy.refresh();
    loader.policy.follow({
      wake: () => {
        this.#hasReads = true;
        this.#wake();
      },
      onNotice: (message) => log.warn({}, message),
      onHealth: (health, before) => logHealth(log, health, before),
    });
    process.on('SIGHUP', reread);
    const stopLinks = this.#options.node.watchLinks({
      onLink: (link) => this.#seeLink(link),
      onAddress: () => this.#seeNews(),
    });
    const stopResults = this.#watchResults();
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    const stopChecks = this.#options.node.timers.every(
      this.#options.config.limits.redirectRepairIntervalMs,
      () => {
        this.#isCheckDue = true;
        this.#isHookCheckDue = true;
      },
    );
    const { revision } = loader.policy.snapshot;
    log.info({ revision, policies: loader.policy.snapshot.policyNames.length }, 'following');
    try {
      while (!signal.aborted) await this.#round();
    } finally {
      process.off('SIGHUP', reread);
      stopLinks();
      stopResults();
      stopChecks();
    }
    log.info({}, 'ended; what is set up stays in force');
  }

  /** Whose an interface is may be told, or another's than was thought, when nothing else of the node is news. */
  #watchResults(): () => void {
    const { config, node } = this.#options;
    if (!config.redirect.areInterfacesFound) return () => {};
    return node.watchResults(config, () => this.#seeNews());
  }

  /** Between two steps of the loop: what is claimed waits for none of them. */
  #seeLink(link: SeenLink): void {
    const { loader, log } = this.#options;
    try {
      // Another with the same name and index would look as if nothing had happened.
      if (loader.letGo(link)) {
        this.#seen = '';
        this.#goneCount += 1;
      }
      if (loader.claim(link)) log.info({ interface: link.name }, 'claimed');
    } catch (error) {
      log.warn({ problem: errorText(error) }, 'not claimed yet');
    }
    this.#seeNews();
  }

  #seeNews(): void {
    this.#hasNodeNews = true;
    this.#wake();
  }

  /**
   * Who is who first: a backend that is new is known to the tables that judge it. But neither holds the other back. What
   * does not know a backend refuses it, and one that has gone is dialled by nobody.
   */
  async #round(): Promise<void> {
    const isJudged = await this.#try('redirect', async () => {
      await this.#bringUpToDate();
      this.#putBehind();
    });
    if (!isJudged) this.#seen = '';
    const isTranslated = await this.#try('Services', () => this.#putServices());
    const { redirectPollIntervalMs, redirectRetryMs } = this.#options.config.limits;
    await this.#pause(isJudged && isTranslated ? redirectPollIntervalMs : redirectRetryMs);
  }

  /** False: it failed, which is told. */
  async #try(what: string, task: () => Promise<void>): Promise<boolean> {
    try {
      await task();
      this.#lastProblems.delete(what);
      return true;
    } catch (error) {
      const problem = errorText(error);
      if (problem !== this.#lastProblems.get(what)) {
        this.#options.log.error({ problem }, `${what} not updated; what was in force stays`);
      }
      this.#lastProblems.set(what, problem);
      return false;
    }
  }

  async #bringUpToDate(): Promise<void> {
    const { isChanged, deltas } = this.#takeReads();
    // The proxies have read the same: they compile while we wait.
    if (isChanged || deltas.length > 0) {
      await sleep(this.#options.node.timers, this.#options.config.redirect.settleMs);
    }
    // When all tables are to be written anyway, these changes are in them.
    if (!isChanged && this.#seen !== '') this.#change(deltas);
    const stamp = this.#options.node.linksStamp();
    const isSame = stamp !== null && stamp === this.#stamp && !this.#hasNodeNews;
    const isQuiet = isSame && !this.#isCheckDue && !this.#isLookWorth;
    this.#hasNodeNews = false;
    if (isQuiet && !isChanged && this.#seen !== '') return;
    await this.#checkNode();
    const goneCount = this.#goneCount;
    const sight = await this.#options.loader.look();
    // Its index may be another's by now, whom this sight would take for the one that went: the next round looks again.
    if (goneCount !== this.#goneCount) return;
    const seen = textOf(sight);
    const isOther = isChanged || seen !== this.#seen;
    // Before the wait in `apply`: an interface that goes meanwhile has to be told from what was seen.
    this.#seen = seen;
    this.#stamp = stamp;
    if (isOther) await this.#apply(sight);
    this.#await(sight);
  }

  /** Who waits for an interface, or an interface for somebody: told when it is over, or takes too long. */
  #await(sight: NodeSight): void {
    const { loader, log } = this.#options;
    const { opened, overdue } = loader.await(sight);
    this.#isLookWorth = loader.isLookWorth(sight);
    const names = new Map([...sight.links.interfaces].map(([name, ifindex]) => [ifindex, name]));
    for (const { ifindex, waitedMs } of opened) {
      log.info({ interface: names.get(ifindex) ?? '?', waitedMs }, 'opened: its pod is known');
    }
    for (const problem of overdue) log.warn({ problem }, 'redirect');
    const problems = findingProblems(sight, this.#options.config);
    if (problems.join() !== this.#lastUnheard) {
      for (const problem of problems) log.warn({ problem }, 'interfaces');
    }
    this.#lastUnheard = problems.join();
  }

  /** A rule that is gone lets marked packets past the proxy, a link that is gone lets all of them. */
  async #checkNode(): Promise<void> {
    if (!this.#isCheckDue) return;
    const repaired = await this.#options.loader.repair();
    this.#isCheckDue = false;
    if (repaired.length === 0) return;
    for (const about of repaired) this.#options.log.warn({ about }, 'the node had lost something');
    this.#seen = '';
  }

  async #putServices(): Promise<void> {
    const { loader, log } = this.#options;
    if (this.#isHookCheckDue) {
      for (const about of loader.repairServices())
        log.warn({ about }, 'the node had lost something');
      this.#isHookCheckDue = false;
    }
    const update = loader.putServices();
    for (const problem of loader.takeServiceProblems()) log.warn({ problem }, 'redirect');
    if (update !== null && update.written + update.removed > 0)
      log.info({ revision: loader.policy.snapshot.revision }, updateText(update));
    const lost = await loader.closeLostSockets();
    if (lost === null) return;
    for (const text of lostText(lost)) log.info({}, text);
    for (const problem of lost.problems) log.warn({ problem }, 'redirect');
  }

  /** Who may get packets that still have the address of a Service. */
  #putBehind(): void {
    const { loader, log } = this.#options;
    const delta = loader.policy.takeServices();
    // When all tables are to be written anyway, it is in them.
    if (delta === null || this.#seen === '') return;
    const entries = loader.change(delta);
    const { revision } = loader.policy.snapshot;
    log.info({ revision, entries }, 'who is behind Services changed in the tables in force');
  }

  #change(deltas: readonly TableDelta[]): void {
    const { loader, log } = this.#options;
    for (const delta of deltas) {
      const entries = loader.change(delta);
      const { revision } = loader.policy.snapshot;
      log.info({ revision, entries }, 'who is who changed in the tables in force');
    }
  }

  /** Whether there is another set to put in force, and what else is to be changed. */
  #takeReads(): { readonly isChanged: boolean; readonly deltas: readonly TableDelta[] } {
    const { loader, log } = this.#options;
    if (!this.#hasReads) return { isChanged: false, deltas: [] };
    const deltas: TableDelta[] = [];
    this.#hasReads = false;
    let isChanged = false;
    for (const read of loader.policy.takeReads()) {
      if (read.kind === 'rejected') {
        log.error({ problems: read.problems }, 'policy rejected; the last good set stays in force');
      }
      if (read.kind === 'identities') deltas.push(read.delta);
      if (read.kind !== 'changed') continue;
      for (const problem of read.warnings) log.warn({ problem }, 'policy');
      // Until it is in force, also when the first try fails.
      this.#seen = '';
      isChanged = true;
    }
    return { isChanged, deltas };
  }

  async #apply(sight: NodeSight): Promise<void> {
    const { loader, log } = this.#options;
    const { applied, plan } = loader.apply(sight);
    const { revision } = loader.policy.snapshot;
    for (const text of appliedTexts(applied, plan)) log.info({ revision }, text);
    const missing = missingTexts(plan);
    if (missing.join() !== this.#lastMissing) {
      for (const problem of missing) log.warn({ problem }, 'redirect');
    }
    this.#lastMissing = missing.join();
    if (applied.update !== null) await loader.settle();
    if (applied.problems.length > 0) throw new Error(applied.problems.join('; '));
  }

  async #pause(delayMs: number): Promise<void> {
    if (this.#options.signal.aborted || this.#hasReads || this.#hasNodeNews) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.node.timers.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = () => {};
  }
}

function textOf({ links, found, uplinks }: NodeSight): string {
  const { interfaces, masters, ports, linkAddresses, addresses } = links;
  return JSON.stringify([
    ...[[...interfaces], [...masters], [...ports], [...linkAddresses], addresses],
    [...(found?.interfaces ?? [])],
    uplinks,
  ]);
}
