/**
 * One question that came by UDP, while it is with its server. It has a socket of its own, so each question has a fresh
 * port as well as a fresh id, and what the kernel hands over is from that server's address and port.
 *
 * An answer in other letters is a forgery, or from a server that does not keep them. The question goes once more, with
 * everything fresh: nobody guesses twice in a row, so after a second such answer it is the server.
 */
import type { DnsAnswer } from '../../codec/dns/answer.ts';
import type { Fault } from '../../model/fault.ts';
import type { Permit } from '../../model/permit.ts';
import type { DatagramEnds, DatagramLink } from '../../platform/datagrams.ts';
import { Guard, type Guarded } from '../plane/guard.ts';
import { type Evictable, Share } from '../plane/holders.ts';
import type { Plane } from '../plane/plane.ts';
import { connectDatagrams } from '../transport/connect.ts';
import type { PlainServers } from './plain_servers.ts';
import type { Question } from './question.ts';
import type { QuestionIds } from './question_ids.ts';

/** Messages that answer something else, for one question: of more than these somebody is guessing. */
const FOREIGN_COUNT_MAX = 16;

export interface DatagramQuestionContext {
  readonly plane: Plane;
  readonly ids: QuestionIds;
  readonly plainServers: PlainServers;
  /** To the client. */
  readonly send: (bytes: Buffer, ends: DatagramEnds) => void;
  readonly onOver: (question: DatagramQuestion) => void;
}

export class DatagramQuestion implements Evictable, Guarded {
  readonly part = 'dns';
  readonly share: Share;
  readonly #context: DatagramQuestionContext;
  readonly #question: Question;
  readonly #ends: DatagramEnds;
  readonly #startedMs: number;
  readonly guard: Guard;
  #link: DatagramLink | null = null;
  #foreignCount = 0;
  #hadOtherLetters = false;
  /** Its answer waits until what it says is in force. */
  #isHeld = false;

  constructor(context: DatagramQuestionContext, question: Question, ends: DatagramEnds) {
    const { platform, recorder } = context.plane.options;
    this.#context = context;
    this.#question = question;
    this.#ends = ends;
    this.#startedMs = platform.clock.nowMs();
    this.share = new Share(this, this.#startedMs);
    this.guard = new Guard(this, recorder);
  }

  ask(permit: Permit): void {
    const question = this.#question;
    const { plane, ids } = this.#context;
    const { datagrams, currentSnapshot } = plane.options;
    try {
      const id = ids.next();
      this.#link = connectDatagrams(permit, question.meta, {
        datagrams,
        currentSnapshot,
        sender: question.meta.sender,
        id,
        onDatagram: (bytes) => this.guard.run(() => this.#onDatagram(bytes)),
        onError: () => this.guard.run(() => this.fail('connect-failed')),
      });
      this.#link.send(question.sentAs(id, this.#spelling()));
    } catch (error) {
      if (!isOfSystem(error)) throw error;
      this.fail(isOutOfSockets(error) ? 'overloaded' : 'connect-failed');
    }
  }

  /** 0: as the client spells it. */
  #spelling(): number {
    const { plane, ids, plainServers } = this.#context;
    const { behaviour, platform } = plane.options;
    if (!behaviour.isDnsCaseVaried || !this.#question.mayBeRespelled) return 0;
    if (plainServers.has(this.#question.meta.upstream, platform.clock.nowMs())) return 0;
    return ids.nextSpelling();
  }

  /** Policy says no, or it cannot be read. */
  refuse(fault: Fault | null): void {
    this.#answer(this.#question.refusal(), fault);
  }

  /** Nobody is told. */
  drop(fault: Fault): void {
    this.#over(fault);
  }

  /** The client is told by SERVFAIL, and may ask another server. */
  fail(fault: Fault): void {
    this.#answer(this.#question.failure(), fault);
  }

  /** True: its time is over. A server that does not answer is silent, and so are we. */
  expire(nowMs: number): boolean {
    const { dnsAnswerTimeoutMs } = this.#context.plane.options.limits;
    if (this.#isHeld || nowMs < this.#startedMs + dnsAnswerTimeoutMs) return false;
    this.#over('answer-timeout');
    return true;
  }

  #onDatagram(bytes: Buffer): void {
    if (this.#isHeld) return;
    const reading = this.#question.read(bytes);
    switch (reading.kind) {
      case 'foreign':
        if (reading.fault === 'other-letters') {
          this.#askAnew();
          return;
        }
        this.#context.plane.options.recorder.events.dnsMessageIgnored('upstream');
        this.#foreignCount++;
        if (this.#foreignCount > FOREIGN_COUNT_MAX) this.fail('malformed-answer');
        return;
      case 'malformed':
        this.fail('malformed-answer');
        return;
      case 'answer':
        this.#onAnswer(bytes, reading.answer);
    }
  }

  #askAnew(): void {
    const { plane, plainServers } = this.#context;
    const { platform, recorder } = plane.options;
    recorder.events.dnsMessageIgnored('upstream');
    if (this.#hadOtherLetters)
      plainServers.add(this.#question.meta.upstream, platform.clock.nowMs());
    this.#hadOtherLetters = true;
    this.#link?.close();
    this.#link = null;
    const permit = this.#question.judge();
    if (permit === null) this.refuse(null);
    else this.ask(permit);
  }

  #onAnswer(bytes: Buffer, answer: DnsAnswer): void {
    const question = this.#question;
    if (!question.isStillAllowed()) {
      this.refuse(null);
      return;
    }
    // What it is read into may be read into again.
    let kept = bytes;
    const release = (): void => this.guard.run(() => this.#released(kept, answer));
    this.#isHeld = question.mustWait(answer, release);
    if (this.#isHeld) kept = Buffer.from(bytes);
    else this.#answer(question.given(bytes, answer), null);
  }

  #released(bytes: Buffer, answer: DnsAnswer): void {
    const question = this.#question;
    if (question.isFinished) return;
    if (question.isStillAllowed()) this.#answer(question.given(bytes, answer), null);
    else this.refuse(null);
  }

  #answer(bytes: Buffer, fault: Fault | null): void {
    const { source, destination } = this.#ends;
    this.#context.send(bytes, { source: destination, destination: source });
    this.#over(fault);
  }

  #over(fault: Fault | null): void {
    this.sever();
    this.#question.finish(fault);
  }

  // --- from the shares

  evict(): void {
    this.guard.run(() => this.fail('evicted'));
  }

  lastMoveMs(): number {
    return this.#startedMs;
  }

  heldBytes(): number {
    return this.#question.message.length;
  }

  cut(): void {
    this.guard.run(() => this.#over('draining'));
  }

  // --- from the guard

  abandon(): void {
    if (!this.#question.isFinished) this.fail('internal-error');
  }

  sever(): void {
    const link = this.#link;
    this.#link = null;
    this.share.moveTo(null);
    this.#context.onOver(this);
    link?.close();
  }
}

/** Anything else is a fault of ours. */
function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}

function isOutOfSockets({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EMFILE' || code === 'ENFILE' || code === 'ENOBUFS' || code === 'EADDRINUSE';
}
