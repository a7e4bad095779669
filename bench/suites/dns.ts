/**
 * DNS by UDP: what a question costs, from 5,000 a second to as many as are answered, and what a refusal costs.
 *
 *     dnsperf ──► subject ──► unbound with the zone in its configuration
 */
import { dnsperfLoad } from '../loads/dnsperf.ts';
import { compare } from '../measure/compare.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Scenario } from '../report/report.ts';
import { DENIED_ZONE, DNS_ZONE, namesIn } from '../subjects/dns_zone.ts';
import { isInstalled } from '../subjects/tools.ts';
import { startUnboundOrigin } from '../subjects/unbound.ts';
import { withAdded } from './latency.ts';
import type { Suite, SuiteContext } from './suite.ts';

const TITLE = 'DNS';
const ABOUT =
  'A thousand names in one zone, which the policy allows, asked by dnsperf from 16 sockets with at most 256 questions ' +
  'waiting. No subject keeps an answer. Unbound and Sallyport draw a fresh port for each question, the agent has a ' +
  'socket for each, dnsdist asks over one socket. At a fixed rate the time of a question counts from when it was sent; ' +
  '“added” is what a subject has more than the origin alone in the same round.';

const REFERENCE = 'unbound';
const RATE = 5_000;
const RATE_FIGURES: readonly FigureName[] = [
  'cpuMicros',
  'cpuUserMicros',
  'cpuSystemMicros',
  'requestsPerSecond',
  'p50Ms',
  'p99Ms',
  'addedP99Ms',
  'failures',
];
const MAXIMUM_FIGURES: readonly FigureName[] = [
  'cpuMicros',
  'cpuUserMicros',
  'cpuSystemMicros',
  'requestsPerSecond',
  'failures',
];

export const suite: Suite = {
  title: TITLE,
  run: async (context) => {
    for (const tool of ['unbound', 'dnsperf']) {
      if (!isInstalled(tool)) throw new Error(`${tool} is not installed; npm run bench:peers`);
    }
    const lineUp = { version: 'dns', startOrigin: startUnboundOrigin } as const;
    return withSubjects(context, lineUp, async (subjects) => {
      const of = { subjects, reference: REFERENCE };
      const asked = (questionsPerSecond: number | null) =>
        dnsperfLoad({ names: namesIn(DNS_ZONE), rcode: 'NOERROR', questionsPerSecond });
      const [fixed, most] = [asked(RATE), asked(null)];
      const denied = dnsperfLoad({
        names: namesIn(DENIED_ZONE),
        rcode: 'REFUSED',
        questionsPerSecond: null,
      });
      const scenarios: Scenario[] = [
        withAdded(
          await compare(context, {
            ...of,
            id: 'dns-fixed',
            title: `${RATE.toLocaleString('en-US')} questions a second`,
            loadOf: () => fixed,
            figures: RATE_FIGURES,
            place: placeOf(context, 0),
          }),
        ),
        await compare(context, {
          ...of,
          id: 'dns-maximum',
          title: 'As many questions as are answered',
          loadOf: () => most,
          figures: MAXIMUM_FIGURES,
          place: placeOf(context, 1),
        }),
      ];
      if (!context.settings.isQuick) {
        scenarios.push(
          await compare(context, {
            ...of,
            subjects: subjects.filter(({ isOrigin }) => isOrigin !== true),
            id: 'dns-denied',
            title: 'Denied questions, as many as are answered',
            loadOf: () => denied,
            figures: MAXIMUM_FIGURES,
            place: placeOf(context, 2),
          }),
        );
      }
      return { name: 'dns', title: TITLE, about: ABOUT, scenarios, plots: [] };
    });
  },
};

function placeOf({ settings }: SuiteContext, index: number): { index: number; count: number } {
  return { index, count: settings.isQuick ? 2 : 3 };
}
