/**
 * Answers of GetFlows as lines, in the forms of `hubble observe`. Names and requests are written by others: in the forms
 * for people they stay on their line, and control characters are escaped; the JSON forms are JSON.
 */
import { shownLine } from '../../model/shown_text.ts';
import { enumWord } from '../flow/enum_word.ts';
import type { Flow } from '../generated/flow/flow_pb.ts';
import { type LostEvent, LostEventSourceSchema, Verdict } from '../generated/flow/flow_pb.ts';
import type { GetFlowsResponse } from '../generated/observer/observer_pb.ts';
import { NodeState, NodeStateSchema, type NodeStatusEvent } from '../generated/relay/relay_pb.ts';
import { hostTexts, identityText, kindText, summaryText, verdictText } from './flow_text.ts';
import { type TimeFormat, timeText } from './time_text.ts';

export type PrintForm = 'compact' | 'dict' | 'table' | 'json';

export type PrintColour = 'red' | 'green' | 'yellow' | 'cyan' | 'magenta';

export interface PrintOptions {
  readonly form: PrintForm;
  readonly timeFormat: TimeFormat;
  /** Names instead of addresses. */
  readonly isTranslated: boolean;
  readonly hasNode: boolean;
  readonly hasPolicies: boolean;
  /** Also states of nodes that are no trouble. */
  readonly isDebug: boolean;
  readonly paint: (colour: PrintColour, text: string) => string;
  readonly jsonOf: (response: GetFlowsResponse) => string;
  /** Lines below a flow's own; none for a flow that says no more. */
  readonly details: (flow: Flow) => readonly string[];
}

export interface Printed {
  readonly out: string;
  readonly error: string;
}

export class FlowPrinter {
  readonly #options: PrintOptions;
  readonly #rows: string[][] = [];
  #count = 0;

  constructor(options: PrintOptions) {
    this.#options = options;
  }

  print(response: GetFlowsResponse): Printed {
    const { responseTypes } = response;
    switch (responseTypes.case) {
      case 'flow':
        return { out: this.#flow(response, responseTypes.value), error: '' };
      case 'lostEvents':
        return { out: this.#lost(response, responseTypes.value), error: '' };
      case 'nodeStatus':
        return { out: '', error: this.#nodeStatus(response, responseTypes.value) };
      default:
        return { out: '', error: '' };
    }
  }

  /** What could not be told before the last flow was there: columns. */
  end(): string {
    const rows = this.#rows.splice(0);
    const widths = (rows[0] ?? []).map((_, column) =>
      Math.max(...rows.map((row) => [...(row[column] ?? '')].length)),
    );
    return rows
      .map((cells) => cells.map((cell, at) => padded(cell, at, widths)).join(''))
      .map((line) => `${line}\n`)
      .join('');
  }

  #flow(response: GetFlowsResponse, flow: Flow): string {
    const { form, hasPolicies, timeFormat, hasNode, isTranslated, paint } = this.#options;
    if (form === 'json') return this.#line(this.#options.jsonOf(response));
    const hosts = hostTexts(flow, isTranslated);
    const parts: Parts = {
      time: timeText(flow.time, timeFormat),
      node: hasNode ? shownLine(flow.nodeName) : null,
      source: shownLine(hosts.source),
      destination: shownLine(hosts.destination),
      type: shownLine(kindText(flow)),
      verdict: shownLine(verdictText(flow, hasPolicies)),
      summary: shownLine(summaryText(flow)),
    };
    const details = this.#options.details(flow).map((line) => `  ${shownLine(line)}\n`);
    switch (form) {
      case 'table':
        return this.#row(parts);
      case 'dict':
        return this.#entry(dictLines(paintedParts(parts, flow, paint))) + details.join('');
      case 'compact':
        return (
          this.#line(compactLine(paintedParts(parts, flow, paint), flow, paint)) + details.join('')
        );
    }
  }

  #lost(response: GetFlowsResponse, lost: LostEvent): string {
    const { form, timeFormat, hasNode } = this.#options;
    if (form === 'json') return this.#line(this.#options.jsonOf(response));
    const time = timeText(response.time, timeFormat);
    const source = enumWord(LostEventSourceSchema, lost.source);
    const cpu = `CPU(${lost.cpu ?? 0})`;
    const span =
      lost.first === undefined || lost.last === undefined
        ? ''
        : ` (first: ${timeText(lost.first, timeFormat)}, last: ${timeText(lost.last, timeFormat)})`;
    const count = lost.numEventsLost;
    if (form === 'compact') {
      return this.#line(`${time} EVENTS LOST: ${source} ${cpu} ${count}${span}`);
    }
    const node = hasNode ? shownLine(response.nodeName === '' ? '-' : response.nodeName) : null;
    const parts: Parts = {
      ...{ time, node, source, destination: '-', type: 'EVENTS LOST', verdict: '-' },
      summary: `${cpu} - ${count}${span}`,
    };
    if (form === 'table') return this.#row(parts);
    return this.#entry(dictLines(parts).filter((line) => !line.startsWith('DESTINATION')));
  }

  /** Of nodes a relay tells; what is no trouble is for those who look for it. */
  #nodeStatus(response: GetFlowsResponse, status: NodeStatusEvent): string {
    const { form, timeFormat, isDebug } = this.#options;
    const { stateChange, nodeNames, message } = status;
    const isTrouble =
      stateChange === NodeState.NODE_ERROR || stateChange === NodeState.NODE_UNAVAILABLE;
    if (!isTrouble && !isDebug) return '';
    if (form === 'json') return `${this.#options.jsonOf(response)}\n`;
    const time = timeText(response.time, timeFormat);
    const names = shownLine(namesText(nodeNames));
    if (form === 'dict') {
      return this.#entry([
        `  TIMESTAMP: ${time}`,
        `      STATE: ${enumWord(NodeStateSchema, stateChange)}`,
        `      NODES: ${names}`,
        `    MESSAGE: ${message === '' ? 'N/A' : JSON.stringify(shownLine(message))}`,
      ]);
    }
    const what = stateText(stateChange, nodeNames.length, shownLine(message));
    return `${time} [${shownLine(response.nodeName)}]: ${what}: ${names}\n`;
  }

  #line(text: string): string {
    this.#count++;
    return `${text}\n`;
  }

  #entry(lines: readonly string[]): string {
    const separator = this.#count === 0 ? '' : '------------\n';
    this.#count++;
    return `${separator}${lines.map((line) => `${line}\n`).join('')}`;
  }

  #row(parts: Parts): string {
    const { node } = parts;
    const cells = (time: string, name: string | null, others: readonly string[]): string[] => [
      ...[time, ...(name === null ? [] : [name]), ...others],
    ];
    if (this.#rows.length === 0) {
      const heads = ['SOURCE', 'DESTINATION', 'TYPE', 'VERDICT', 'SUMMARY'];
      this.#rows.push(cells('TIMESTAMP', node === null ? null : 'NODE', heads));
    }
    const { source, destination, type, verdict, summary } = parts;
    this.#rows.push(cells(parts.time, node, [source, destination, type, verdict, summary]));
    return '';
  }
}

interface Parts {
  readonly time: string;
  /** Null: it is not told. */
  readonly node: string | null;
  readonly source: string;
  readonly destination: string;
  readonly type: string;
  readonly verdict: string;
  readonly summary: string;
}

function paintedParts(parts: Parts, flow: Flow, paint: PrintOptions['paint']): Parts {
  const colour = VERDICT_COLOURS.get(flow.verdict);
  return {
    ...parts,
    source: paint('cyan', parts.source),
    destination: paint('cyan', parts.destination),
    verdict: colour === undefined ? parts.verdict : paint(colour, parts.verdict),
  };
}

const VERDICT_COLOURS: ReadonlyMap<number, PrintColour> = new Map<number, PrintColour>([
  [Verdict.FORWARDED, 'green'],
  [Verdict.REDIRECTED, 'green'],
  [Verdict.DROPPED, 'red'],
  [Verdict.ERROR, 'red'],
  [Verdict.AUDIT, 'yellow'],
  [Verdict.TRACED, 'yellow'],
  [Verdict.TRANSLATED, 'yellow'],
]);

/** The side that asked stands first, also in an answer. */
function compactLine(parts: Parts, flow: Flow, paint: PrintOptions['paint']): string {
  const { time, node, type, verdict, summary } = parts;
  const source = `${parts.source} ${paint('magenta', identityText(flow.source))}`;
  const destination = `${parts.destination} ${paint('magenta', identityText(flow.destination))}`;
  const [first, arrow, second] =
    flow.isReply === true
      ? [destination, '<-', source]
      : [source, flow.isReply === undefined ? '<>' : '->', destination];
  const at = node === null ? time : `${time} [${node}]`;
  return `${at}: ${first} ${arrow} ${second} ${type} ${verdict} (${summary})`;
}

function dictLines({ time, node, source, destination, type, verdict, summary }: Parts): string[] {
  return [
    `  TIMESTAMP: ${time}`,
    ...(node === null ? [] : [`       NODE: ${node}`]),
    `     SOURCE: ${source}`,
    `DESTINATION: ${destination}`,
    `       TYPE: ${type}`,
    `    VERDICT: ${verdict}`,
    `    SUMMARY: ${summary}`,
  ];
}

const COLUMN_GAP = 3;

function padded(cell: string, at: number, widths: readonly number[]): string {
  if (at === widths.length - 1) return cell;
  return cell + ' '.repeat((widths[at] ?? 0) + COLUMN_GAP - [...cell].length);
}

function stateText(state: number, count: number, message: string): string {
  switch (state) {
    case NodeState.NODE_CONNECTED:
      return `Receiving flows from ${count} nodes`;
    case NodeState.NODE_UNAVAILABLE:
      return `${count} nodes are unavailable`;
    case NodeState.NODE_GONE:
      return `${count} nodes removed from cluster`;
    case NodeState.NODE_ERROR:
      return `Error ${JSON.stringify(message)} on ${count} nodes`;
    default:
      return `${count} nodes changed to state ${state}`;
  }
}

const NAMES_LENGTH_MAX = 50;

/** At least one name; of the others how many there are. */
function namesText(names: readonly string[]): string {
  let length = 0;
  const shown = names.filter((name, at) => {
    length += name.length + 2;
    return at === 0 || length <= NAMES_LENGTH_MAX;
  });
  const more = names.length - shown.length;
  return `${shown.join(', ')}${more === 0 ? '' : ` (and ${more} more)`}`;
}
