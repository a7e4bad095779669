/**
 * What the supervisor keeps of Services for workers that start later: the whole of them, and the batches since. Bytes,
 * which it does not look into. It numbers them, as policy threads come and go, and each begins with all there is.
 */
import type { SentServices } from '../control/worker/service_wire.ts';
import { NO_SERVICE_FACTS, type SentServiceChange, type ServiceFacts } from './service_sender.ts';

export class KeptServices {
  #sequence = 0;
  #batches: readonly SentServices[] = [];
  #facts = NO_SERVICE_FACTS;

  /** Of the last one; 0: none came. */
  get sequence(): number {
    return this.#sequence;
  }

  get facts(): ServiceFacts {
    return this.#facts;
  }

  /** In order; the first is whole. */
  all(): readonly SentServices[] {
    return this.#batches;
  }

  /** For workers that run: the batch with its number. */
  add({ batch: sent, whole, facts }: SentServiceChange): SentServices {
    this.#sequence += 1;
    this.#facts = facts;
    const batch = { ...sent, sequence: this.#sequence };
    const ofStart = whole === null ? batch : { ...whole, sequence: this.#sequence };
    this.#batches = ofStart.isWhole ? [ofStart] : [...this.#batches, batch];
    return batch;
  }
}
