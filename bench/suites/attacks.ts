/**
 * What an attacker's byte costs: hostile bytes as fast as each subject takes them. An end of the connection after
 * few bytes is a good answer, so connections a second and the share of a core belong to the figure.
 */
import { attackLoad } from '../loads/attack.ts';
import { compare } from '../measure/compare.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Scenario } from '../report/report.ts';
import { type BenchRule, type HttpVersion, PLAIN_RULES } from '../subjects/subject.ts';
import { type AttackCase, HTTP1_ATTACKS, HTTP2_ATTACKS } from './attack_bytes.ts';
import type { Suite, SuiteContext } from './suite.ts';

const CONNECTIONS = 16;
const RULES: readonly BenchRule[] = [
  ...PLAIN_RULES,
  { method: 'POST', path: '/upload', isPattern: false },
];
const FIGURES: readonly FigureName[] = [
  'cpuNanosPerKilobyte',
  'cpuShare',
  'megabytesPerSecond',
  'connectionsPerSecond',
];

export const suite: Suite = {
  title: 'Attacks',
  run: async (context) => {
    const scenarios = [
      ...(await versionOf(context, 'h1', HTTP1_ATTACKS)),
      ...(await versionOf(context, 'h2', HTTP2_ATTACKS)),
    ];
    return {
      name: 'attacks',
      title: 'Attacks',
      about:
        'Hostile bytes on sixteen connections, as fast as they are taken; a connection that is closed is opened ' +
        'again. CPU a KiB is what the attacker buys; a subject that ends the connection early takes few bytes for ' +
        'each connection that it pays for, so read it beside connections a second and the share of a core.',
      scenarios,
      plots: [],
    };
  },
};

function versionOf(
  context: SuiteContext,
  version: HttpVersion,
  cases: readonly AttackCase[],
): Promise<readonly Scenario[]> {
  const wanted = context.settings.isQuick ? cases.filter(({ isQuick }) => isQuick) : cases;
  const isWanted = ({ name }: { readonly name: string }): boolean =>
    !name.includes(',') && name !== 'origin alone';
  return withSubjects(context, { version, rules: RULES, isWanted }, async (subjects) => {
    const scenarios: Scenario[] = [];
    for (const [index, one] of wanted.entries()) {
      const load = attackLoad({ ...one, about: one.title, connections: CONNECTIONS });
      scenarios.push(
        await compare(context, {
          id: one.id,
          title: one.title,
          subjects,
          loadOf: () => load,
          figures: FIGURES,
          isLogged: false,
          place: { index, count: wanted.length },
        }),
      );
    }
    return scenarios;
  });
}
