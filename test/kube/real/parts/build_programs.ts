/** Before the suite: the programs are there, and it fails when they are not. */
import { buildPrograms, SUITE_PROGRAMS } from '../../../peers/kube/build.ts';

export function setup(): void {
  buildPrograms(SUITE_PROGRAMS);
}
