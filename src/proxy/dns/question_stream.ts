/**
 * Questions on one TCP connection of a client (RFC 7766): several at once, answered in whatever order the server does.
 * They go on over one connection of their own, made when the first is allowed and made anew when the server has closed
 * it. Nothing is shared between clients.
 *
 *     client ══ TcpMessages ──► judge ──► in flight, by fresh id ──► UpstreamLink ══ server
 *        ▲  at dnsPipelinedCountMax, or while the client or the server does not read, nothing more is read of the client
 *        └──────── answers, as they come ◄──────────────┘
 */

import type { DnsAnswer } from '../../codec/dns/answer.ts';
import { readQuery } from '../../codec/dns/query.ts';
import { framedMessage, TcpMessages } from '../../codec/dns/tcp_messages.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Permit } from '../../model/permit.ts';
import { unshared } from '../../platform/socket_reads.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Guard } from '../plane/guard.ts';
import type { Share } from '../plane/holders.ts';
import { UpstreamLink } from '../transport/upstream_link.ts';
import { Question, type QuestionContext } from './question.ts';
import type { QuestionIds } from './question_ids.ts';

export interface QuestionStreamContext extends QuestionContext {
  readonly downstream: () => Stream;
  readonly share: Share;
  readonly guard: Guard;
  readonly ids: QuestionIds;
  /** Nothing is in flight any more. */
  readonly onIdle: () => void;
  /** What the client sends is no DNS, or its server has ended it. */
  readonly onBroken: (fault: Fault | null) => void;
}

interface InFlight {
  readonly question: Question;
  /** When it went to the server, or its last answer came. */
  movedMs: number;
  /** It was lost with a connection that the server had kept for long enough. */
  isSecond: boolean;
  /** Its answer is here, and waits until what it says is in force. */
  isHeld: boolean;
}

export class QuestionStream {
  readonly #context: QuestionStreamContext;
  readonly #questions = new TcpMessages();
  readonly #inFlight = new Map<number, InFlight>();
  #answers = new TcpMessages();
  #upstream: UpstreamLink | null = null;
  /** On the upstream connection that there is. */
  #answeredCount = 0;
  #isHeld = false;
  #isTaking = false;
  /** No further question is taken. */
  #isOver = false;
  /** Of a whole question from the client, or an answer that it has taken. */
  movedMs: number;

  constructor(context: QuestionStreamContext) {
    this.#context = context;
    this.movedMs = this.#nowMs();
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0;
  }

  get heldBytes(): number {
    let bytes = this.#questions.keptBytes + this.#answers.keptBytes;
    bytes += this.#upstream?.socket.writableLength ?? 0;
    for (const { question } of this.#inFlight.values()) bytes += question.message.length;
    return bytes;
  }

  onData(chunk: Buffer): void {
    // Read and dropped, so that its end is seen.
    if (this.#isOver) return;
    this.#questions.push(chunk);
    this.#take();
    const { dnsQuestionBytesMax } = this.#limits;
    // With its length before it.
    if (this.#questions.heldBytes > dnsQuestionBytesMax + 2) {
      this.#context.onBroken('malformed-question');
    }
  }

  onDrain(): void {
    this.movedMs = this.#nowMs();
    this.#go();
  }

  /** Silent about those whose server does not answer. */
  expire(nowMs: number): void {
    const { dnsAnswerTimeoutMs } = this.#limits;
    for (const [id, inFlight] of this.#inFlight) {
      if (inFlight.isHeld || nowMs < inFlight.movedMs + dnsAnswerTimeoutMs) continue;
      this.#finish(id, inFlight, inFlight.question.isAnswered ? null : 'answer-timeout');
    }
    if (!this.isIdle || !this.#isUpstreamStuck()) return;
    this.#dropUpstream();
    this.#go();
  }

  /** What is in flight is answered, and nothing else. */
  stopTaking(): void {
    this.#isOver = true;
    this.#hold(false);
  }

  /** Everything in flight ends in `fault`, unanswered. */
  end(fault: Fault): void {
    this.stopTaking();
    this.#dropUpstream();
    const lost = [...this.#inFlight.values()];
    this.#inFlight.clear();
    for (const { question } of lost) this.#over(question, question.isAnswered ? null : fault);
  }

  // --- from the client

  #take(): void {
    // An answer of our own may free the place for the next question while this one is still being taken.
    if (this.#isTaking) return;
    this.#isTaking = true;
    while (!this.#isOver && !this.#isFull()) {
      const message = this.#questions.next();
      if (message === null) break;
      this.#takeOne(message);
    }
    this.#isTaking = false;
    this.#hold(!this.#isOver && this.#isFull());
  }

  #isFull(): boolean {
    const { downstream } = this.#context;
    return (
      this.#inFlight.size >= this.#limits.dnsPipelinedCountMax ||
      downstream().writableNeedDrain ||
      // Questions whose time is over are still to be sent: a server that reads nothing would have us keep them all.
      this.#upstream?.socket.writableNeedDrain === true
    );
  }

  /** A server that has not even accepted by now, or not read, is asked anew when there is something to ask. */
  #isUpstreamStuck(): boolean {
    const upstream = this.#upstream;
    return upstream !== null && (!upstream.isConnected || upstream.socket.writableNeedDrain);
  }

  #hold(isHeld: boolean): void {
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    const { downstream } = this.#context;
    if (isHeld) downstream().pause();
    else downstream().resume();
  }

  #go(): void {
    if (!this.#context.downstream().writableNeedDrain) this.#upstream?.socket.resume();
    if (this.#isHeld) this.#take();
  }

  #takeOne(message: Buffer): void {
    const { plane, onBroken } = this.#context;
    const reading = readQuery(message);
    if (reading.kind === 'ignored') {
      plane.options.recorder.events.dnsMessageIgnored('downstream');
      return;
    }
    if (message.length > this.#limits.dnsQuestionBytesMax) {
      onBroken('malformed-question');
      return;
    }
    this.movedMs = this.#nowMs();
    const question = new Question(this.#context, unshared(message), reading);
    this.#context.share.requestOpened();
    if (reading.kind === 'refused')
      this.#answerNow(question, question.refusal(), 'malformed-question');
    else this.#ask(question, false);
  }

  #ask(question: Question, isSecond: boolean): void {
    const permit = question.judge();
    if (permit === null) {
      this.#answerNow(question, question.refusal(), null);
      return;
    }
    if (this.#context.plane.ownAddresses.has(question.meta.upstream)) {
      this.#answerNow(question, question.failure(), 'no-destination');
      return;
    }
    const id = this.#context.ids.nextBut(this.#inFlight);
    // Before anything that may fail: whatever ends the connection ends it, too.
    this.#inFlight.set(id, { question, movedMs: this.#nowMs(), isSecond, isHeld: false });
    const upstream = this.#upstream ?? this.#connect(permit, question);
    upstream.socket.write(framedMessage(question.sentAs(id)));
  }

  // --- from the server

  #connect(permit: Permit, { meta }: Question): UpstreamLink {
    const { plane, guard } = this.#context;
    const { sockets, currentSnapshot, limits } = plane.options;
    this.#answers = new TcpMessages();
    this.#answeredCount = 0;
    this.#upstream = new UpstreamLink(permit, meta, {
      events: {
        onUpstreamConnected: () => {},
        onUpstreamData: (chunk) => this.#onAnswers(chunk),
        onUpstreamDrain: () => this.#go(),
        onUpstreamEnd: () => this.#onGone('upstream-closed'),
        onUpstreamFailed: (cause) => this.#onGone(faultOf(cause)),
      },
      nowMs: this.#nowMs(),
      bufferBytesMax: limits.bufferBytesMax,
      sockets,
      readMemory: plane.readMemory,
      guard,
      currentSnapshot,
    });
    return this.#upstream;
  }

  #onAnswers(chunk: Buffer): void {
    const upstream = this.#upstream;
    this.#answers.push(chunk);
    for (let message = this.#answers.next(); message !== null; message = this.#answers.next()) {
      this.#onAnswer(message);
      // A broken client has ended it all.
      if (this.#upstream !== upstream) return;
    }
    if (this.#context.downstream().writableNeedDrain) upstream?.socket.pause();
    this.#go();
  }

  #onAnswer(message: Buffer): void {
    const id = message.length < 2 ? -1 : message.readUInt16BE(0);
    const inFlight = this.#inFlight.get(id);
    const reading = inFlight?.question.read(message) ?? null;
    if (
      inFlight === undefined ||
      inFlight.isHeld ||
      reading === null ||
      reading.kind === 'foreign'
    ) {
      this.#context.plane.options.recorder.events.dnsMessageIgnored('upstream');
      return;
    }
    this.#answeredCount++;
    const { question } = inFlight;
    if (reading.kind === 'malformed') {
      this.#write(question.failure());
      this.#finish(id, inFlight, 'malformed-answer');
    } else if (!question.isStillAllowed()) {
      this.#refuse(id, inFlight);
    } else {
      const { answer } = reading;
      const kept = unshared(message);
      const release = (): void => {
        // What was in flight may have ended, and another have its number.
        if (this.#inFlight.get(id) !== inFlight) return;
        this.#context.guard.run(() => {
          if (question.isStillAllowed()) this.#give(id, inFlight, { message: kept, answer });
          else this.#refuse(id, inFlight);
        });
      };
      inFlight.isHeld = question.mustWait(answer, release);
      if (!inFlight.isHeld) this.#give(id, inFlight, { message, answer });
    }
  }

  #refuse(id: number, inFlight: InFlight): void {
    this.#write(inFlight.question.refusal());
    this.#finish(id, inFlight, null);
  }

  #give(
    id: number,
    inFlight: InFlight,
    { message, answer }: { readonly message: Buffer; readonly answer: DnsAnswer },
  ): void {
    const { question } = inFlight;
    this.#write(question.given(message, answer));
    inFlight.movedMs = this.#nowMs();
    if (!question.isTransfer || answer.rcode !== 0) this.#finish(id, inFlight, null);
  }

  /**
   * What it had not answered is asked once more where the server may only have been tired of an idle connection
   * (RFC 7766 6.2.4), else it has failed. Whether a transfer was complete only the client can say: it is told the end.
   */
  #onGone(fault: Fault): void {
    const lost = [...this.#inFlight].filter(([, { isHeld }]) => !isHeld);
    const isStale = this.#answeredCount > 0;
    this.#dropUpstream();
    for (const [id] of lost) this.#inFlight.delete(id);
    let hasTransfer = false;
    for (const [, inFlight] of lost) {
      const { question, isSecond } = inFlight;
      if (question.isAnswered) {
        hasTransfer = true;
        this.#over(question, null);
      } else if (isStale && !isSecond) {
        this.#ask(question, true);
      } else {
        this.#answerNow(question, question.failure(), fault);
      }
    }
    if (hasTransfer) this.#context.onBroken(null);
    else this.#settle();
  }

  #dropUpstream(): void {
    this.#upstream?.destroy();
    this.#upstream = null;
  }

  // --- endings

  #answerNow(question: Question, bytes: Buffer, fault: Fault | null): void {
    this.#write(bytes);
    this.#over(question, fault);
  }

  #finish(id: number, { question }: InFlight, fault: Fault | null): void {
    this.#inFlight.delete(id);
    this.#over(question, fault);
    this.#settle();
  }

  #over(question: Question, fault: Fault | null): void {
    this.#context.share.requestClosed(question.isAllowed, this.#nowMs());
    question.finish(fault);
  }

  #settle(): void {
    this.#go();
    if (this.isIdle) this.#context.onIdle();
  }

  #write(bytes: Buffer): void {
    this.movedMs = this.#nowMs();
    this.#context.downstream().write(framedMessage(bytes));
  }

  get #limits() {
    return this.#context.plane.options.limits;
  }

  #nowMs(): number {
    return this.#context.plane.options.platform.clock.nowMs();
  }
}

function faultOf(cause: Cause | null): Fault {
  return cause?.fault ?? 'upstream-closed';
}
