/** What would change, as lines for a person: who, and under it what for whom. */
import type {
  ChangeDocument,
  ChangesDocument,
  PartyDocument,
} from '../../control/compare/changes_document.ts';
import type { FlowChange, FlowChanges } from '../../control/compare/flow_changes.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { Io } from '../io.ts';
import { paint } from '../terminal.ts';

export interface ChangeTextOptions {
  readonly isAll: boolean;
  readonly io: Pick<Io, 'hasColour'>;
  /** Of the whole cluster. */
  readonly endpointCount: number;
}

const CHANGES_SHOWN_MAX = 30;
const RULES_SHOWN_MAX = 5;

export function changeLines(changes: ChangesDocument, options: ChangeTextOptions): string[] {
  const { verdicts, endpointCount } = changes;
  if (verdicts.length === 0) return ['No verdict would change, whoever asks whom.'];
  const shown = options.isAll ? verdicts : verdicts.slice(0, CHANGES_SHOWN_MAX);
  const groups = Map.groupBy(shown, headOf);
  const lines = [...groups].flatMap(([head, own]) => [
    shownLine(head),
    ...own.flatMap((change) => oneChange(change, options)),
  ]);
  const more = verdicts.length - shown.length;
  if (more > 0) lines.push(`... and ${more} more (--all)`);
  lines.push(
    `${endpointCount} of ${options.endpointCount} pods and nodes would have another verdict for somebody.`,
  );
  return lines;
}

function headOf({ direction, endpoints }: ChangeDocument): string {
  return `${direction} of ${partyText(endpoints)}`;
}

function oneChange(change: ChangeDocument, { io, isAll }: ChangeTextOptions): string[] {
  const { direction, before, after, traffic, remotes, otherRemotes } = change;
  const side = direction === 'ingress' ? 'from' : 'to';
  const who = otherRemotes === undefined ? partyText(remotes) : everyoneBut(otherRemotes);
  const what = kindText(change);
  const colour = after === 'deny' ? 'red' : before === 'deny' ? 'green' : 'yellow';
  const rules = [
    ...(change.addedRules ?? []).map((text) => `+ ${text}`),
    ...(change.removedRules ?? []).map((text) => `- ${text}`),
  ];
  const shown = isAll ? rules : rules.slice(0, RULES_SHOWN_MAX);
  const more = rules.length - shown.length;
  return [
    `  ${paint(io, colour, what)} ${shownLine(`on ${traffic}: ${side} ${who}`)}`,
    ...shown.map((text) => shownLine(`      ${text}`)),
    ...(more > 0 ? [`      ... and ${more} more rules (--all)`] : []),
  ];
}

const KINDS = { allow: 'allowed', deny: 'denied', rules: 'judged by rules' } as const;

function kindText({ before, after }: ChangeDocument): string {
  return before === after ? 'judged by other rules' : `${KINDS[before]} -> ${KINDS[after]}`;
}

function everyoneBut(others: PartyDocument): string {
  return others.names.length === 0 ? 'everyone' : `everyone but ${namesText(others)}`;
}

/** How many pods, where the names do not tell. */
function partyText(party: PartyDocument): string {
  const { podCount, names, moreCount = 0 } = party;
  const isTold = moreCount === 0 && !names.some((name) => name.endsWith('*'));
  return `${namesText(party)}${isTold || podCount === 0 ? '' : ` (${podCount} pods)`}`;
}

function namesText({ names, moreCount = 0 }: PartyDocument): string {
  return `${names.join(', ')}${moreCount > 0 ? ` and ${moreCount} more` : ''}`;
}

export function flowLines(flows: FlowChanges, { io, isAll }: ChangeTextOptions): string[] {
  const { judgedCount, changes, goneCount, unaskableCount, unreadableCount, otherwiseCount } =
    flows;
  const shown = isAll ? changes : changes.slice(0, CHANGES_SHOWN_MAX);
  const more = changes.length - shown.length;
  const changedCount = changes.reduce((sum, { count }) => sum + count, 0);
  return [
    `Of ${judgedCount} flows ${changedCount} would get another verdict${changedCount === 0 ? '.' : ':'}`,
    ...shown.map((change) => flowLine(change, io)),
    ...(more > 0 ? [`  ... and ${more} more (--all)`] : []),
    ...noteLines([
      ['Not judged, as their pods are gone', goneCount],
      [
        'Not judged, as a flow does not tell all of such traffic (the type of ICMP)',
        unaskableCount,
      ],
      [
        'Judged otherwise at their time (policy was another, or a flow does not tell all of a request)',
        otherwiseCount,
      ],
      ['Lines that are no flows', unreadableCount],
    ]),
  ];
}

function flowLine(change: FlowChange, io: Pick<Io, 'hasColour'>): string {
  const { before, after, direction, endpoint, remote, asked, count } = change;
  const word = paint(io, after === 'deny' ? 'red' : 'green', `${KINDS[before]} -> ${KINDS[after]}`);
  const side = direction === 'ingress' ? `${remote} to ${endpoint}` : `${endpoint} to ${remote}`;
  return `  ${word}: ${shownLine(`${side}, ${asked}`)} (${count})`;
}

function noteLines(notes: readonly (readonly [string, number])[]): readonly string[] {
  return notes.flatMap(([text, count]) => (count === 0 ? [] : [`${text}: ${count}.`]));
}
