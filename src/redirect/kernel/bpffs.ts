/** The file system that keeps maps, programs and links alive while no process holds them. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolders } from '../../platform/folders.ts';
import { pin } from './bpf.ts';

const BPF_FS_MAGIC = 0xcafe4a11;

export function isBpffs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === BPF_FS_MAGIC;
}

/** Makes `path` a bpffs unless it lies on one; needs CAP_SYS_ADMIN, which a container seldom has. */
export function mountBpffs(path: string): void {
  if (isOnBpffs(path)) return;
  makeFolders(path);
  execFileSync('mount', ['-t', 'bpf', '-o', 'mode=0755', 'bpf', path], { stdio: 'pipe' });
}

/** Also of a folder that is yet to be made. */
export function isOnBpffs(path: string): boolean {
  if (existsSync(path)) return isBpffs(path);
  const parent = dirname(path);
  return parent !== path && isOnBpffs(parent);
}

/** `mode` is set, whatever the umask is. */
export function makeFolder(path: string, mode: number): void {
  makeFolders(path);
  chmodSync(path, mode);
}

/** Puts `fd` in the place of what is pinned at `path`: there is no moment without either. */
export function replacePin(fd: number, path: string): void {
  const temporary = `${path}_new`;
  removePin(temporary);
  pin(fd, temporary);
  renameSync(temporary, path);
}

/** False: nothing was pinned there. */
export function removePin(path: string): boolean {
  if (!existsSync(path)) return false;
  unlinkSync(path);
  return true;
}

export function setAccess(path: string, gid: number, mode: number): void {
  chownSync(path, -1, gid);
  chmodSync(path, mode);
}

export function listFolder(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** bpffs knows no removal of a folder that holds something. False: it was not there. */
export function removeFolder(path: string): boolean {
  if (!existsSync(path)) return false;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) removeFolder(inner);
    else unlinkSync(inner);
  }
  rmdirSync(path);
  return true;
}
