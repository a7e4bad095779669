/** Links that outlive us: pinned, and given another program in one step. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { closeDescriptor, createLink, openPin, updateLink } from './bpf.ts';
import { removePin, replacePin } from './bpffs.ts';
import { EINVAL, ENOLINK, KernelError } from './kernel_error.ts';

export interface LinkFolders {
  readonly own: string;
  /** Of other layouts: their links are taken over, so that no packet meets neither program. */
  readonly older: readonly string[];
}

export interface LinkPlan {
  readonly name: string;
  readonly programFd: number;
  /** An ifindex, or the descriptor of a network namespace. */
  readonly target: number;
  readonly attachType: number;
}

export function putLink(folders: LinkFolders, plan: LinkPlan): void {
  const own = join(folders.own, plan.name);
  if (existsSync(own) && replaceProgram(own, plan.programFd)) return;
  for (const folder of folders.older) {
    const older = join(folder, plan.name);
    if (existsSync(older) && takeOver(older, own, plan.programFd)) return;
  }
  const fd = makeLink(plan);
  try {
    replacePin(fd, own);
  } finally {
    closeDescriptor(fd);
  }
}

function makeLink(plan: LinkPlan): number {
  try {
    return createLink(plan.programFd, plan.target, plan.attachType);
  } catch (error) {
    if (error instanceof KernelError && error.errno === EINVAL)
      throw new KernelError(
        `attaching ${plan.name}`,
        EINVAL,
        'tcx needs Linux 6.6, sk_lookup 5.9, and an interface of this namespace',
      );
    throw error;
  }
}

/** False: the link is of something that has gone, an interface that was made anew under its number. */
function replaceProgram(path: string, programFd: number): boolean {
  const fd = openPin(path);
  try {
    updateLink(fd, programFd);
    return true;
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== ENOLINK) throw error;
    removePin(path);
    return false;
  } finally {
    closeDescriptor(fd);
  }
}

function takeOver(older: string, own: string, programFd: number): boolean {
  if (!replaceProgram(older, programFd)) return false;
  const fd = openPin(older);
  try {
    replacePin(fd, own);
  } finally {
    closeDescriptor(fd);
  }
  removePin(older);
  return true;
}
