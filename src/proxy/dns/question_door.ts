/**
 * Questions that come by UDP to one listener. What waits for an answer is bounded, in all and for each source; at the
 * bound those who have the most of it make room (plane/shares.ts). What is denied or cannot be read waits for nothing.
 *
 *     datagram ──► read ──► judge ──► room? ──► DatagramQuestion ──► server
 *                    │        │         └─ SERVFAIL
 *                    │        └─ REFUSED or NXDOMAIN
 *                    └─ FORMERR, NOTIMP, or nothing
 */
import { readQuery } from '../../codec/dns/query.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { Fault } from '../../model/fault.ts';
import type { DatagramDoor, DatagramEnds } from '../../platform/datagrams.ts';
import { Admission } from '../judge/admission.ts';
import { PolicySubject } from '../judge/policy_subject.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';
import { resolveMeta, sourceIdentity } from '../resolve/resolve.ts';
import { DatagramQuestion, type DatagramQuestionContext } from './datagram_question.ts';
import { PlainServers } from './plain_servers.ts';
import { type Answerable, Question } from './question.ts';
import { QuestionIds } from './question_ids.ts';

export interface QuestionDoorOptions {
  readonly listener: ListenerOptions;
  readonly plane: Plane;
  readonly nextConnectionId: () => number;
}

export class QuestionDoor {
  readonly #options: QuestionDoorOptions;
  /** In the order in which they came, which is that of their ends: all may take equally long. */
  readonly #waiting = new Set<DatagramQuestion>();
  readonly #context: DatagramQuestionContext;
  #door: DatagramDoor | null = null;
  #stopSweep: () => void = () => {};
  readonly #closed = Promise.withResolvers<void>();
  #isDraining = false;

  constructor(options: QuestionDoorOptions) {
    const { plane } = options;
    this.#options = options;
    const ids = new QuestionIds(plane.options.randomFill);
    this.#context = {
      plane,
      ids,
      plainServers: new PlainServers(),
      send: (bytes, ends) => this.#door?.send(bytes, ends),
      onOver: (question) => this.#leave(question),
    };
  }

  /** Rejects with the system's error. */
  async bind(address: SocketAddress): Promise<void> {
    const { plane, listener } = this.#options;
    const { datagrams, platform, limits } = plane.options;
    this.#door = await datagrams.bind({
      address,
      isPortShared: listener.isPortShared,
      isTransparent: listener.isTransparent,
      onDatagram: (bytes, ends) => this.#onDatagram(bytes, ends),
      // A client that cannot be reached has lost its answer, and no more.
      onError: () => {},
    });
    this.#stopSweep = platform.timers.every(limits.sweepIntervalMs, () => this.#expire());
  }

  /** What comes until nothing waits any more is served: who shares the port gets nothing of it before it is closed. */
  drain(): Promise<void> {
    this.#isDraining = true;
    this.#closeIfEmpty();
    return this.#closed.promise;
  }

  /** Everything is closed now. */
  cut(): void {
    for (const question of [...this.#waiting]) question.cut();
    this.#close();
  }

  #onDatagram(bytes: Buffer, ends: DatagramEnds): void {
    const { recorder, limits } = this.#options.plane.options;
    try {
      const reading = readQuery(bytes);
      if (reading.kind === 'ignored' || bytes.length > limits.dnsQuestionBytesMax) {
        recorder.events.dnsMessageIgnored('downstream');
      } else {
        this.#take(bytes, reading, ends);
      }
    } catch (error) {
      recorder.internalError('dns', error);
    }
  }

  #take(bytes: Buffer, reading: Answerable, { source, destination }: DatagramEnds): void {
    const { listener, plane, nextConnectionId } = this.#options;
    const { currentSnapshot, cilium, behaviour, records } = plane.options;
    const snapshot = currentSnapshot();
    const isRecorded = listener.direction === 'by-record';
    const asked =
      listener.destination.kind === 'fixed' ? listener.destination.address : destination;
    const record = isRecorded ? (records?.lookup(source, destination, 'UDP') ?? null) : null;
    const ends = { source, destination: asked, record };
    const known = { options: listener, snapshot, cilium };
    const meta = resolveMeta(nextConnectionId(), ends, known, 'UDP');
    const subject = new PolicySubject(meta, {
      currentSnapshot,
      identity: listener.identity,
      cilium,
    });
    const admission = new Admission(subject, behaviour.isDryRun);
    const question = new Question({ plane, subject, admission }, bytes, reading);
    const waiting = new DatagramQuestion(this.#context, question, { source, destination });
    // Nobody knows who asks, so nothing is said, either: the address may be anybody's.
    if (isRecorded && record === null) waiting.drop('no-redirect-record');
    else waiting.guard.run(() => this.#ask(waiting, question, reading));
  }

  #ask(waiting: DatagramQuestion, question: Question, reading: Answerable): void {
    const permit = question.judge();
    if (permit === null) {
      waiting.refuse(reading.kind === 'refused' ? 'malformed-question' : null);
      return;
    }
    const obstacle = this.#obstacleTo(waiting, question);
    if (obstacle !== null) {
      waiting.fail(obstacle);
      return;
    }
    this.#waiting.add(waiting);
    waiting.ask(permit);
  }

  /** Null: it may wait, and is counted with those that do. */
  #obstacleTo({ share }: DatagramQuestion, { meta }: Question): Fault | null {
    const { plane } = this.#options;
    const { currentSnapshot, limits, platform } = plane.options;
    // It would come back to us, again and again.
    if (plane.ownAddresses.has(meta.upstream)) return 'no-destination';
    const identity = sourceIdentity(meta, currentSnapshot());
    const { questionShares: shares } = plane;
    const holder = shares.holders.of(identity, meta.source);
    if (holder.count >= limits.dnsSourceQuestionCountMax) return 'overloaded';
    const hasRoom = !shares.isFull || shares.makeRoom(holder, platform.clock.nowMs());
    if (!hasRoom) return 'overloaded';
    share.moveTo(holder);
    return null;
  }

  #expire(): void {
    const nowMs = this.#options.plane.options.platform.clock.nowMs();
    for (const question of this.#waiting) {
      if (!question.guard.ask(() => question.expire(nowMs), true)) return;
    }
  }

  #leave(question: DatagramQuestion): void {
    if (this.#waiting.delete(question)) this.#closeIfEmpty();
  }

  #closeIfEmpty(): void {
    if (this.#isDraining && this.#waiting.size === 0) this.#close();
  }

  #close(): void {
    const door = this.#door;
    this.#door = null;
    this.#stopSweep();
    this.#closed.resolve();
    void door?.close();
  }
}
