/**
 * One DNS question from its bytes to its record, whichever way it came: who asks and what policy says of it, with which
 * id and letters it went on, which answer counts, and what the client is given for it.
 *
 *     bytes ──► judge ──► permit ──► asks (fresh id) ──► answer: is it one, is it still allowed? ──► given
 *                 └─ denied: refusal                       └─ none in time: nothing
 */
import { type AnswerReading, type DnsAnswer, readAnswer } from '../../codec/dns/answer.ts';
import { AT, HEADER_BYTES, RCODE, type Rcode, TYPE } from '../../codec/dns/header.ts';
import { type DnsQuery, type QueryReading, UDP_BYTES_DEFAULT } from '../../codec/dns/query.ts';
import { EXTENDED_ERROR_PROHIBITED, type Reply, writeReply } from '../../codec/dns/reply.ts';
import { turnLetters, turnLettersBack } from '../../codec/dns/spelling.ts';
import type { IpText } from '../../model/address.ts';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import { dnsTypeName } from '../../model/dns_words.ts';
import type { Fault } from '../../model/fault.ts';
import type { Permit } from '../../model/permit.ts';
import type { FlowVerdict, QuestionFacts, ResponseSource } from '../../model/record.ts';
import type { Admission } from '../judge/admission.ts';
import type { PolicySubject } from '../judge/policy_subject.ts';
import type { DnsRefusal } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';

export interface QuestionContext {
  readonly plane: Plane;
  readonly subject: PolicySubject;
  readonly admission: Admission;
}

/** What a question can be read as and be answered. */
export type Answerable = Exclude<QueryReading, { kind: 'ignored' }>;

const REFUSAL_RCODES: Readonly<Record<DnsRefusal, Rcode>> = {
  refused: RCODE.Refused,
  nxdomain: RCODE.NXDomain,
};

export class Question {
  readonly #context: QuestionContext;
  /** The client's, with the id and the letters of the moment. */
  readonly message: Buffer;
  readonly #reading: Answerable;
  /** The client's. */
  readonly #id: number;
  readonly #startedMs: number;
  readonly #bytesIn: number;
  /** The letters of its name that are turned while it is with the server; 0: it goes as the client spells it. */
  #turned = 0;
  #meta: ConnectionMeta;
  #decision: Decision | null = null;
  #shadowDecision: Decision | null = null;
  #judgedBy: object | null = null;
  #revision = 0;
  #isSpared = false;
  #overheadMs = 0;
  /** Of the last answer that was given. */
  #answeredMs = -1;
  #rcode: number | null = null;
  #answer: DnsAnswer | null = null;
  #source: ResponseSource = 'none';
  #bytesOut = 0;
  #isFinished = false;

  constructor(context: QuestionContext, message: Buffer, reading: Answerable) {
    this.#context = context;
    this.message = message;
    this.#reading = reading;
    this.#id = message.readUInt16BE(AT.id);
    this.#bytesIn = message.length;
    this.#startedMs = this.#nowMs();
    this.#meta = context.subject.meta;
    this.#revision = context.subject.revision;
  }

  /** As the policy that judged it last knows it. */
  get meta(): ConnectionMeta {
    return this.#meta;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  get isAllowed(): boolean {
    return this.#decision?.verdict === 'allow';
  }

  get isAnswered(): boolean {
    return this.#source !== 'none';
  }

  /** Its answer is many messages (RFC 5936, RFC 1995): who asks says when it has enough of them, or the server. */
  get isTransfer(): boolean {
    const type = this.#query?.question.type;
    return type === TYPE.AXFR || type === TYPE.IXFR;
  }

  get #query(): DnsQuery | null {
    return this.#reading.kind === 'query' ? this.#reading.query : null;
  }

  /** By the policy of this moment. Null: it is refused; `refusal` is what to say. */
  judge(): Permit | null {
    const query = this.#query;
    if (query === null) return null;
    const { subject, admission } = this.#context;
    const beforeMs = this.#nowMs();
    const decision = subject.judgeQuestion(query.question.name);
    this.#decision = decision;
    this.#meta = subject.meta;
    this.#revision = subject.revision;
    this.#judgedBy = subject.snapshot;
    this.#shadowDecision = subject.shadowQuestion(query.question.name);
    const permit = admission.permitFor(decision);
    this.#isSpared = permit?.isDryRun === true;
    this.#overheadMs += this.#nowMs() - beforeMs;
    return permit;
  }

  /** Before an answer is let go: another policy may be in force than when the question was. */
  isStillAllowed(): boolean {
    const { currentSnapshot } = this.#context.plane.options;
    return this.#judgedBy === currentSnapshot() || this.judge() !== null;
  }

  /** What a signature covers stays as it is. */
  get mayBeRespelled(): boolean {
    return this.#query?.isSigned === false;
  }

  /** As it goes to the server: what is judged is what is sent, but for the id, and the case of letters with `spelling`. */
  sentAs(id: number, spelling = 0): Buffer {
    this.message.writeUInt16BE(id, AT.id);
    this.#turn(spelling);
    return this.message;
  }

  #turn(spelling: number): void {
    if (this.#turned !== 0) turnLetters(this.message, this.#turned);
    this.#turned = spelling;
    if (spelling !== 0) turnLetters(this.message, spelling);
  }

  /** `bytes` as an answer to what `sentAs` gave. */
  read(bytes: Buffer): AnswerReading {
    const query = this.#query;
    if (query === null) return { kind: 'foreign', fault: 'other-question' };
    const { dnsAnswerAddressCountMax } = this.#context.plane.options.limits;
    const asked = {
      message: this.message,
      question: query.question,
      isCaseKept: this.#turned !== 0,
      mayLeaveOutQuestion: this.isTransfer && this.isAnswered,
    };
    return readAnswer(bytes, asked, { addressCountMax: dnsAnswerAddressCountMax });
  }

  /** True: it is to be given only when `release` is called, which is once. It teaches who has the name. */
  mustWait(answer: DnsAnswer, release: () => void): boolean {
    const { names } = this.#context.plane.options;
    const query = this.#query;
    if (names === null || query === null || answer.addresses.length === 0) return false;
    if (answer.rcode !== RCODE.NoError || this.isTransfer) return false;
    const endpointIp = askerOf(this.#meta);
    if (endpointIp === null) return false;
    const { name } = query.question;
    const { addresses, ttlSeconds } = answer;
    return names.waits({ endpointIp, name, addresses, ttlSeconds }, release);
  }

  /**
   * The server's answer as the client gets it: with its id and its letters. Where they were not turned, the name stays in
   * those that the server wrote, so a client that varies them itself sees that an answer is forged.
   */
  given(bytes: Buffer, answer: DnsAnswer): Buffer {
    if (this.#isTooLong(bytes)) return this.#cut(answer);
    bytes.writeUInt16BE(this.#id, AT.id);
    if (this.#turned !== 0) turnLettersBack(bytes, this.#turned);
    this.#answer ??= answer;
    this.#answered(bytes, answer.rcode, 'upstream');
    return bytes;
  }

  /** More than the client takes by UDP (RFC 6891 6.2.5), so it would be lost on its way, or read in part. */
  #isTooLong({ length }: Buffer): boolean {
    const bytesMax = this.#query?.edns?.udpBytesMax ?? UDP_BYTES_DEFAULT;
    return this.#meta.transport === 'UDP' && length > bytesMax;
  }

  /** Without records, never with a part of them: the client comes again by TCP. */
  #cut(answer: DnsAnswer): Buffer {
    this.#answer ??= answer;
    const reply = this.#replyOf({
      rcode: answer.rcode,
      questionEnd: this.#query?.question.end ?? HEADER_BYTES,
      extendedError: null,
      isTruncated: true,
    });
    this.#answered(reply, answer.rcode, 'upstream');
    return reply;
  }

  /** What policy denies is answered as it is configured, and what cannot be read as its reader says. */
  refusal(): Buffer {
    const reading = this.#reading;
    if (reading.kind === 'refused') return this.#ownReply(reading.rcode, reading.questionEnd, null);
    const { dnsRefusal } = this.#context.plane.options.behaviour;
    return this.#ownReply(
      REFUSAL_RCODES[dnsRefusal],
      reading.query.question.end,
      EXTENDED_ERROR_PROHIBITED,
    );
  }

  /** SERVFAIL: it could not be put to the server, or the server gave no answer that can be let go. */
  failure(): Buffer {
    return this.#ownReply(RCODE.ServFail, this.#query?.question.end ?? HEADER_BYTES, null);
  }

  #ownReply(rcode: Rcode, questionEnd: number, extendedError: number | null): Buffer {
    const reply = this.#replyOf({ rcode, questionEnd, extendedError });
    this.#answered(reply, rcode, 'local');
    return reply;
  }

  #replyOf(reply: Omit<Reply, 'edns'>): Buffer {
    this.message.writeUInt16BE(this.#id, AT.id);
    this.#turn(0);
    return writeReply(this.message, { ...reply, edns: this.#query?.edns ?? null });
  }

  #answered(bytes: Buffer, rcode: number, source: ResponseSource): void {
    this.#rcode = rcode;
    this.#source = source;
    this.#bytesOut += bytes.length;
    this.#answeredMs = this.#nowMs();
  }

  /** Its one record. `fault` null: it went as decided. */
  finish(fault: Fault | null): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { recorder, platform } = this.#context.plane.options;
    const endedMs = this.#answeredMs >= 0 ? this.#answeredMs : this.#nowMs();
    recorder.record({
      meta: this.#meta,
      verdict: this.#verdict(fault),
      decision: this.#decision,
      shadowDecision: this.#shadowDecision,
      isDryRun: this.#isSpared,
      policyRevision: this.#revision,
      head: null,
      partial: null,
      question: this.#facts(),
      fault,
      cause: null,
      status: 0,
      responseSource: this.#source,
      grpcStatus: null,
      serverName: '',
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      endedAtMs: platform.clock.wallMs(),
      durationMs: endedMs - this.#startedMs,
      overheadMs: this.#overheadMs,
    });
  }

  #facts(): QuestionFacts {
    const question = this.#query?.question;
    return {
      name: question?.name ?? '',
      type: question === undefined ? '' : dnsTypeName(question.type),
      rcode: this.#rcode,
      ips: this.#answer?.addresses.map(({ text }) => text) ?? [],
      ttlSeconds: this.#answer?.ttlSeconds ?? 0,
    };
  }

  #verdict(fault: Fault | null): FlowVerdict {
    if (fault === 'policy-changed') return 'denied';
    if (fault !== null) return 'error';
    return this.#decision?.verdict === 'deny' && !this.#isSpared ? 'denied' : 'forwarded';
  }

  #nowMs(): number {
    return this.#context.plane.options.platform.clock.nowMs();
  }
}

/** The endpoint whose egress is judged; null: it is not of this node. */
function askerOf({ direction, endpointIp, second }: ConnectionMeta): IpText | null {
  if (direction === 'egress') return endpointIp;
  return second?.direction === 'egress' ? second.endpointIp : null;
}
