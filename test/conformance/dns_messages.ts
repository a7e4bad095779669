/**
 * Generated DNS messages, right and damaged: how the agent's own DNS library reads them and what its proxy would learn,
 * and we. What we take as a question it reads as the same one; what we learn it would learn, too. Where we are stricter
 * is listed here.
 *
 *     node test/conformance/dns_messages.ts [MESSAGES] [SEED...]
 *
 * Builds `test/peers/agent/dns` with Go ($GO, or `go`; $DNS_PEER: one that is built already).
 */
import { spawn } from 'node:child_process';
import { readAnswer } from '../../src/codec/dns/answer.ts';
import type { DnsFault } from '../../src/codec/dns/fault.ts';
import { readQuery } from '../../src/codec/dns/query.ts';
import {
  ANSWER_FLAGS,
  a,
  cname,
  message,
  opt,
  option,
  pointerTo,
  question,
  ROOT,
  TO_QUESTION,
  type WireRecord,
  wireLabel,
  wireName,
} from '../support/dns_messages.ts';
import { AGENT_FOLDER, compare, count, goPeer, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines, type Line } from './json_lines.ts';

/** Why we refuse what the library takes: it reads on behind the end, forwards, and whatever stands in other sections. */
const STRICTER: ReadonlySet<DnsFault> = new Set([
  'record-kind',
  'record-name',
  'record-cut',
  'trailing-bytes',
  'question-cut',
  'question-name',
  'question-type',
  'unknown-class',
  // NOTIFY, of a server to others.
  'unknown-opcode',
  'edns-form',
]);

/** The root, and the type: TSIG, SIG. */
const SIGNATURES = [Buffer.from([0, 0, 250]), Buffer.from([0, 0, 24])];

const ADDRESS_COUNT_MAX = 1000;

const NAMES = [
  ...['www.example.com', 'WWW.Example.COM', 'a', '_srv._tcp.x-y.test', '0/25.2.0.192.in-addr.arpa'],
  ...[`${'l'.repeat(63)}.test`, `${'a.'.repeat(126)}a`, 'xn--bcher-kva.example'],
];
const ODD_LABELS = ['a.b', 'a\0', 'A B', "it's", '@;()"', '\\', '\xff\x7f', '*', '$x'];
const TYPES = [1, 28, 65, 64, 16, 255, 252, 12, 999];
const DAMAGED_PERCENT = 60;

await compare(async () => {
  const peer = new JsonLines(spawn(goPeer(AGENT_FOLDER, './dns', 'DNS_PEER'), []));
  for (const { count: each, random } of seeds(3000, 'messages')) {
    for (let i = 0; i < each; i++) {
      await compareQuestion(generatedQuestion(random), peer);
      await compareAnswer(random, peer);
    }
  }
  peer.end();
});

async function compareQuestion(bytes: Buffer, peer: JsonLines): Promise<void> {
  const own = readQuery(bytes);
  const theirs = await asked(peer, bytes);
  const isTaken = theirs['error'] === undefined && theirs['accepted'] === 0;
  const shown = (): unknown[] => ['--- question', bytes.toString('hex'), own, theirs];
  if (own.kind !== 'query') {
    count(!isTaken || own.kind === 'ignored' || STRICTER.has(own.fault), shown);
    return;
  }
  // What a signature says is for the server to check.
  if (theirs['error'] !== undefined && SIGNATURES.some((type) => bytes.includes(type))) return;
  const { question: of, edns } = own.query;
  const isSame =
    isTaken &&
    of.name === theirs['name'] &&
    of.type === theirs['type'] &&
    of.class === theirs['class'] &&
    (edns?.udpBytesMax ?? 0) === Math.max(Number(theirs['edns']), edns === null ? 0 : 512);
  count(isSame, shown);
}

/** Right ones teach both the same. Of damaged ones we learn at most what the agent would. */
async function compareAnswer(random: PolicySeed, peer: JsonLines): Promise<void> {
  const sent = message({ questions: [question(random.oneOf(NAMES), random.oneOf([1, 28]))] });
  const reading = readQuery(sent);
  if (reading.kind !== 'query')
    throw new Error(`a generated question is refused: ${reading.fault}`);
  const right = generatedAnswer(sent.subarray(12), random);
  const isDamaged = random.below(100) < DAMAGED_PERCENT;
  const bytes = isDamaged ? damaged(right, random) : right;
  const to = {
    message: sent,
    question: reading.query.question,
    isCaseKept: false,
    mayLeaveOutQuestion: false,
  };
  const own = readAnswer(bytes, to, { addressCountMax: ADDRESS_COUNT_MAX });
  const theirs = await asked(peer, bytes);
  const shown = (): unknown[] => ['--- answer', bytes.toString('hex'), own, theirs];
  if (own.kind !== 'answer') {
    count(isDamaged, shown);
    return;
  }
  const addresses = own.answer.addresses.map(({ text }) => String(text));
  const known = theirs['ips'] as readonly string[] | null;
  if (isDamaged) {
    const isKnown = addresses.every((ip) => known?.includes(ip) === true);
    // What the library cannot read, a kind of record that it knows and we pass on, it would not have passed on.
    count(isKnown || theirs['error'] !== undefined, shown);
    return;
  }
  const isSame =
    sorted(addresses) === sorted(known ?? []) &&
    own.answer.rcode === theirs['rcode'] &&
    sorted(own.answer.aliases) === sorted(theirs['aliases'] as readonly string[]) &&
    (addresses.length === 0 || own.answer.ttlSeconds === theirs['ttl']);
  count(isSame, shown);
}

function asked(peer: JsonLines, bytes: Buffer): Promise<Line> {
  return peer.ask(JSON.stringify({ message: bytes.toString('base64') }));
}

function sorted(texts: readonly string[]): string {
  return [...new Set(texts)].sort().join(' ');
}

function generatedQuestion(random: PolicySeed): Buffer {
  const isOdd = random.below(4) === 0;
  const name = isOdd
    ? Buffer.concat([wireLabel(random.oneOf(ODD_LABELS)), wireLabel('test'), ROOT])
    : random.oneOf(NAMES);
  const cookie = option(10, Buffer.alloc(8, 7));
  const bytes = message({
    id: random.below(65_536),
    flags: random.oneOf([0x0100, 0x0000, 0x0110, 0x0120]),
    questions: [question(name, random.oneOf(TYPES), random.oneOf([1, 1, 1, 3, 255]))],
    additional: random.oneOf([[], [opt(1232)], [opt(100, 0x8000)], [opt(4096, 0, cookie)]]),
  });
  return random.below(100) < DAMAGED_PERCENT ? damaged(bytes, random) : bytes;
}

/** A chain of aliases and the addresses at its end. */
function generatedAnswer(questionBytes: Buffer, random: PolicySeed): Buffer {
  const answers: WireRecord[] = [];
  let owner: Buffer = TO_QUESTION;
  for (let n = random.below(4); n > 0; n--) {
    const target = wireName(`n${n}.${random.oneOf(['cdn.test', 'Edge.Example'])}`);
    answers.push(cname(owner, target, random.below(600)));
    owner = target;
  }
  for (let n = random.below(5); n > 0; n--) {
    const isIp6 = random.below(3) === 0;
    const ip6 = Buffer.from([
      0x20,
      0x01,
      0x0d,
      0xb8,
      ...Array.from({ length: 12 }, () => random.below(256)),
    ]);
    answers.push(
      isIp6
        ? { owner, type: 28, ttl: random.below(600), data: ip6 }
        : a(owner, `192.0.2.${random.below(256)}`, random.below(600)),
    );
  }
  const isFailure = answers.length === 0 && random.below(2) === 0;
  return message({
    flags: isFailure ? ANSWER_FLAGS | random.oneOf([2, 3, 5]) : ANSWER_FLAGS,
    questions: [questionBytes],
    answers,
    additional: random.oneOf([[], [opt(1232)], [a(wireName('ns.test'), '198.51.100.1')]]),
  });
}

function damaged(bytes: Buffer, random: PolicySeed): Buffer {
  const copy = Buffer.from(bytes);
  const at = (): number => 2 + random.below(copy.length - 2);
  for (let n = random.below(3); n >= 0; n--) {
    const kind = random.below(5);
    if (kind === 0) copy[at()] = random.below(256);
    else if (kind === 1) pointerTo(random.below(copy.length + 4)).copy(copy, at());
    else if (kind === 2) copy.writeUInt16BE(random.below(4), random.oneOf([4, 6, 8, 10]));
    else if (kind === 3) copy[at()] = 0;
    else return copy.subarray(0, 12 + random.below(copy.length - 11));
  }
  return random.below(6) === 0 ? Buffer.concat([copy, Buffer.alloc(1 + random.below(5))]) : copy;
}
