/** What the supervisor hears of its policy thread. */
import type { SourceHealth } from '../control/source/source.ts';
import type { NumberedSet } from '../control/worker/live_snapshot.ts';
import type { RefusedObjects, SentRead } from './policy_messages.ts';
import type { SentServiceChange } from './service_sender.ts';

export interface PolicyThreadEvents {
  /** `isAsked`: by `reload`. Not called for a first read. */
  onRead(read: SentRead, isAsked: boolean): void;
  /** `before`: what was refused until now. */
  onRefused(refused: RefusedObjects, before: RefusedObjects): void;
  /** How old what the source has may be; `before`: as it was told last. */
  onHealth(health: SourceHealth, before: SourceHealth): void;
  /** See `PolicySink.notice`. */
  onNotice(message: string): void;
  /** See `rebase`. */
  onRebased(set: NumberedSet, sequence: number): void;
  /** Who is behind addresses of Services; also before `follow`. */
  onServices(change: SentServiceChange): void;
  /** In force with the batch of that number, which `onRead` has told. */
  onLearned(ids: readonly number[], sequence: number): void;
  /** Another thread goes on: what was told as names has to be told again. */
  onNamesLost(): void;
  /** The last good set could not be kept on disk. */
  onNotKept(problem: string): void;
  /** The thread ended; what it was at is rejected, and `onRead` has been told so. */
  onDied(problem: string): void;
}
