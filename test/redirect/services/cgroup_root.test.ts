/** Where the hierarchy of cgroups v2 is, by what is mounted. */
import { expect, it } from 'vitest';
import { cgroupRoot, isCgroup2 } from '../../../src/redirect/host/cgroup_root.ts';

const HYBRID = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`;

it.each([
  ['alone', 'cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n', '/sys/fs/cgroup'],
  ['beside v1', HYBRID, '/sys/fs/cgroup/unified'],
  ['nowhere', 'proc /proc proc rw 0 0\n', null],
])('cgroup2 is mounted %s', (_, mounts, folder) => {
  expect(cgroupRoot(mounts)).toBe(folder);
});

it.each(['/proc', '/nowhere'])('%s is no folder of a cgroup2', (folder) => {
  expect(isCgroup2(folder)).toBe(false);
});
