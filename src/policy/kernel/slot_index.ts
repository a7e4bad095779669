/**
 * What a new identity gets in the slots of a table that a kernel has already. Areas share a slot because those who
 * were known got the same in all of them; a new identity that does not needs another table.
 */
import { LOCAL_IDENTITY_FLAG } from '../../model/identity.ts';
import type { CompiledRule } from '../compiled/compiled_rule.ts';
import { NO_SELECTOR } from '../compiled/compiled_rule.ts';
import type { Remote } from '../identity/remotes.ts';
import { type KernelVerdict, verdictOf } from './kernel_verdict.ts';

/** Of one area of ports, in whatever policy. */
export interface SlotUse {
  readonly slot: number;
  readonly rules: readonly CompiledRule[];
  readonly isDnsPlain: boolean;
  /** The proxy is shown what may have a name (`VerdictOptions.areNamesAsked`). */
  readonly hasNames: boolean;
  /** For remotes that the slot does not list. */
  readonly verdict: KernelVerdict;
}

export class SlotIndex {
  readonly #bySlot: ReadonlyMap<number, readonly SlotUse[]>;
  readonly #slotsBySelector = new Map<number, Set<number>>();
  readonly #hasNames: boolean;

  constructor(uses: readonly SlotUse[]) {
    this.#hasNames = uses.some(({ hasNames }) => hasNames);
    this.#bySlot = Map.groupBy(uses, ({ slot }) => slot);
    for (const { slot, rules } of uses) {
      for (const { selector } of rules) {
        if (selector === NO_SELECTOR) continue;
        const slots = this.#slotsBySelector.get(selector);
        if (slots === undefined) this.#slotsBySelector.set(selector, new Set([slot]));
        else slots.add(slot);
      }
    }
  }

  /** Slot → what the remote gets there, where that is not what everybody gets; null: it needs another table. */
  exceptionsOf(remote: Remote): ReadonlyMap<number, KernelVerdict> | null {
    // A prefix may have any name, in slots to which none of its selectors leads.
    if (this.#hasNames && (remote.identity & LOCAL_IDENTITY_FLAG) !== 0) return null;
    const slots = new Set<number>();
    for (const selector of remote.selectors) {
      for (const slot of this.#slotsBySelector.get(selector) ?? []) slots.add(slot);
    }
    const exceptions = new Map<number, KernelVerdict>();
    for (const slot of slots) {
      const found = this.#exceptionIn(slot, remote);
      // The slot without exceptions stays without.
      if (found === undefined || (slot === 0 && found !== null)) return null;
      if (found !== null) exceptions.set(slot, found);
    }
    return exceptions;
  }

  /** Null: none; undefined: areas of the slot do not agree. */
  #exceptionIn(slot: number, remote: Remote): KernelVerdict | null | undefined {
    let common: KernelVerdict | null | undefined;
    for (const { rules, isDnsPlain, verdict } of this.#bySlot.get(slot) ?? []) {
      const own = verdictOf(rules, remote, { isDnsPlain, remotes: null });
      const exception = own === verdict ? null : own;
      if (common !== undefined && common !== exception) return undefined;
      common = exception;
    }
    return common;
  }
}
