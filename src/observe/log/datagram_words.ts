/**
 * hot path
 *
 * What lines of datagrams say of who asks whom, and of what was decided. Each datagram is a connection of its own, but
 * those of one client to one server differ in two numbers only, so the rest is kept for the next one.
 *
 *     verdict, rule │ direction, listener │ connection_id │ src.ip │ src.port │ the rest of both sides
 *     └── judged ──┘└─────── start ──────┘                └─ port ─┘          └──────── end ─────────┘
 */
import type { FlowConnection, FlowDecision, FlowSide, ProxyFlow } from '../../model/flow.ts';
import type { LineBytes } from './bytes.ts';
import { decisionText, textAfterPort, textBeforeId, textBeforePort } from './line_text.ts';

interface Words {
  /** The first that they were made for. */
  readonly connection: FlowConnection;
  readonly start: Uint8Array;
  readonly port: Uint8Array;
  readonly end: Uint8Array;
  verdict: string;
  decision: FlowDecision | null;
  judged: Uint8Array;
}

/** About 1.5 KiB each. */
const WORDS_COUNT_MAX = 1024;

export class DatagramWords {
  /** By the server, which is one object for all that ask it, and the client's address. */
  readonly #known = new Map<FlowSide, Map<string, Words>>();
  #count = 0;

  append(line: LineBytes, flow: ProxyFlow): void {
    const { connection, verdict, decision } = flow;
    const words = this.#wordsOf(connection);
    if (words.verdict !== verdict || words.decision !== decision) {
      words.verdict = verdict;
      words.decision = decision;
      words.judged = judgedBytes(verdict, decision);
    }
    line.bytes(words.judged);
    line.bytes(words.start);
    line.integer(connection.id);
    line.bytes(words.port);
    line.integer(connection.source.port);
    line.bytes(words.end);
  }

  #wordsOf(connection: FlowConnection): Words {
    const { source, destination } = connection;
    const words = this.#known.get(destination)?.get(source.ip);
    if (words !== undefined && isSame(words.connection, connection)) return words;
    return this.#remember(connection);
  }

  #remember(connection: FlowConnection): Words {
    if (this.#count >= WORDS_COUNT_MAX) {
      this.#known.clear();
      this.#count = 0;
    }
    this.#count++;
    const words = wordsOf(connection);
    const { source, destination } = connection;
    let ofServer = this.#known.get(destination);
    if (ofServer === undefined) {
      ofServer = new Map();
      this.#known.set(destination, ofServer);
    }
    ofServer.set(source.ip, words);
    return words;
  }
}

/** Of the same server and the same address of a client; labels are one list as long as the identity has them. */
function isSame(one: FlowConnection, other: FlowConnection): boolean {
  return (
    one.listener === other.listener &&
    one.direction === other.direction &&
    one.proxyId === other.proxyId &&
    one.endpoint === other.endpoint &&
    one.identitySource === other.identitySource &&
    one.source.identity === other.source.identity &&
    one.source.labels === other.source.labels &&
    one.source.service === other.source.service
  );
}

function wordsOf(connection: FlowConnection): Words {
  return {
    connection,
    start: ascii(textBeforeId(connection)),
    port: ascii(textBeforePort(connection.source)),
    end: ascii(textAfterPort(connection)),
    // No verdict is this.
    verdict: '',
    decision: null,
    judged: NOTHING,
  };
}

function judgedBytes(verdict: string, decision: FlowDecision | null): Uint8Array {
  const text = decision === null ? '' : decisionText(decision);
  return ascii(`Z","msg":"question","verdict":"${verdict}"${text}`);
}

function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

const NOTHING = ascii('');
