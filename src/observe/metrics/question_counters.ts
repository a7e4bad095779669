/** What a worker counts of DNS questions. Names and types are the client's choice, so they are no labels. */
import { RCODE_NAMES } from '../../model/dns_words.ts';
import type { DnsFacts, ProxyFlow } from '../../model/flow.ts';
import { HELD_OUTCOMES, type HeldOutcome } from '../../model/record.ts';
import { CounterCells, dimension, HistogramCells } from './cells.ts';
import type { MetricFamily } from './family.ts';
import { METRICS } from './table.ts';

const VERDICTS = ['forwarded', 'denied', 'error'];
const SOURCES = ['upstream', 'local', 'none'];
/** No answer; known codes; any other. */
const RCODES = ['none', ...RCODE_NAMES, 'other'];
const TRANSPORTS = ['udp', 'tcp'];
const SIDES = ['downstream', 'upstream'];
/** Of IP. */
const UDP = 17;

export class QuestionCounters {
  readonly #total = new CounterCells([
    dimension('transport', TRANSPORTS),
    dimension('verdict', VERDICTS),
    dimension('rcode', RCODES),
    dimension('response_source', SOURCES),
  ]);
  readonly #duration = new HistogramCells(
    [dimension('verdict', VERDICTS)],
    METRICS.sallyport_dns_question_duration_seconds.buckets,
  );
  readonly #ignored = new CounterCells([dimension('from', SIDES)]);
  readonly #held = new CounterCells([dimension('outcome', HELD_OUTCOMES)]);

  count({ ipProtocol, verdict, responseSource, durationMs }: ProxyFlow, facts: DnsFacts): void {
    const transport = ipProtocol === UDP ? 0 : 1;
    const verdictIndex = VERDICTS.indexOf(verdict);
    const rcode = rcodeIndex(facts.responseCode);
    const index = (transport * VERDICTS.length + verdictIndex) * RCODES.length + rcode;
    this.#total.add(index * SOURCES.length + SOURCES.indexOf(responseSource), 1);
    this.#duration.observe(verdictIndex, durationMs / 1000);
  }

  ignored(from: 'downstream' | 'upstream'): void {
    this.#ignored.add(SIDES.indexOf(from), 1);
  }

  held(outcome: HeldOutcome): void {
    this.#held.add(HELD_OUTCOMES.indexOf(outcome), 1);
  }

  families(): MetricFamily[] {
    return [
      { name: 'sallyport_dns_questions_total', samples: this.#total.samples() },
      { name: 'sallyport_dns_question_duration_seconds', samples: this.#duration.samples() },
      { name: 'sallyport_dns_messages_ignored_total', samples: this.#ignored.samples() },
      { name: 'sallyport_dns_answers_held_total', samples: this.#held.samples() },
    ];
  }
}

function rcodeIndex(rcode: number | null): number {
  if (rcode === null) return 0;
  return rcode < RCODE_NAMES.length ? rcode + 1 : RCODES.length - 1;
}
