/** A guard of nothing, which only tells what was thrown. */
import { Guard } from '../../src/proxy/plane/guard.ts';
import { CountingRecorder } from './counting_recorder.ts';

export function guardTelling(tell: (error: unknown) => void): Guard {
  const recorder = new CountingRecorder();
  recorder.internalError = (_part, error) => tell(error);
  return new Guard({ part: 'test', abandon: () => {}, sever: () => {} }, recorder);
}
