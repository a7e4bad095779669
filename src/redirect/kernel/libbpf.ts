/**
 * libbpf.so.1, which reads the object, makes its maps (or takes up the pinned ones) and has the verifier
 * look at its programs. Everything after that is bpf(2).
 */
import koffi from 'koffi';
import { EINVAL, KernelError } from './kernel_error.ts';

/** The verifier's last words; more than this of them has never helped anybody. */
const LOG_BYTES = 256 * 1024;
const LOG_LINES_TOLD = 12;

type Pointer = bigint | null;

interface Libbpf {
  readonly setPrint: (print: null) => void;
  readonly open: (path: string, options: null) => Pointer;
  readonly load: (object: Pointer) => number;
  readonly close: (object: Pointer) => void;
  readonly findMap: (object: Pointer, name: string) => Pointer;
  readonly setPinPath: (map: Pointer, path: string) => number;
  readonly mapFd: (map: Pointer) => number;
  readonly findProgram: (object: Pointer, name: string) => Pointer;
  readonly setLogBuffer: (program: Pointer, buffer: Buffer, bytes: number) => number;
  readonly programFd: (program: Pointer) => number;
}

let library: Libbpf | null = null;

function libbpf(): Libbpf {
  library ??= loadLibrary();
  return library;
}

function loadLibrary(): Libbpf {
  let lib: ReturnType<typeof koffi.load>;
  try {
    lib = koffi.load('libbpf.so.1');
  } catch (error) {
    throw new Error('libbpf.so.1 is needed to load the kernel programs (Debian: libbpf1)', {
      cause: error,
    });
  }
  const functions = {
    setPrint: lib.func('void *libbpf_set_print(void *print)'),
    open: lib.func('void *bpf_object__open_file(const char *path, void *options)'),
    load: lib.func('int bpf_object__load(void *object)'),
    close: lib.func('void bpf_object__close(void *object)'),
    findMap: lib.func('void *bpf_object__find_map_by_name(void *object, const char *name)'),
    setPinPath: lib.func('int bpf_map__set_pin_path(void *map, const char *path)'),
    mapFd: lib.func('int bpf_map__fd(void *map)'),
    findProgram: lib.func('void *bpf_object__find_program_by_name(void *object, const char *name)'),
    setLogBuffer: lib.func(
      'int bpf_program__set_log_buf(void *program, void *buffer, size_t bytes)',
    ),
    programFd: lib.func('int bpf_program__fd(void *program)'),
  } as unknown as Libbpf;
  // It writes to stderr otherwise; what it knows comes out in the error.
  functions.setPrint(null);
  return functions;
}

export interface LoadedObject {
  /** Descriptors belong to the object and end with `close`. */
  readonly mapFds: ReadonlyMap<string, number>;
  readonly programFds: ReadonlyMap<string, number>;
  close(): void;
}

export interface ObjectPlan {
  readonly path: string;
  /** Map name → where it is, or will be, pinned; null: it ends with the object. */
  readonly mapPins: ReadonlyMap<string, string | null>;
  readonly programs: readonly string[];
}

export function loadObject(plan: ObjectPlan): LoadedObject {
  const lib = libbpf();
  const object = lib.open(plan.path, null);
  if (object === null) throw new KernelError(`opening ${plan.path}`, koffi.errno() || EINVAL);
  try {
    for (const [name, path] of plan.mapPins) if (path !== null) setPinPath(object, name, path);
    const logs = plan.programs.map((name) => logBufferFor(object, name));
    const result = lib.load(object);
    if (result < 0) throw loadError(plan, -result, logs);
    return {
      mapFds: new Map([...plan.mapPins.keys()].map((name) => [name, mapFd(object, name)])),
      programFds: new Map(plan.programs.map((name) => [name, programFd(object, name)])),
      close: () => lib.close(object),
    };
  } catch (error) {
    lib.close(object);
    throw error;
  }
}

function setPinPath(object: Pointer, name: string, path: string): void {
  const map = libbpf().findMap(object, name);
  if (map === null) throw new Error(`the object has no map "${name}"`);
  const result = libbpf().setPinPath(map, path);
  if (result < 0) throw new KernelError(`pin path of map ${name}`, -result);
}

function mapFd(object: Pointer, name: string): number {
  return libbpf().mapFd(libbpf().findMap(object, name));
}

function programFd(object: Pointer, name: string): number {
  return libbpf().programFd(libbpf().findProgram(object, name));
}

interface ProgramLog {
  readonly name: string;
  readonly buffer: Buffer;
}

function logBufferFor(object: Pointer, name: string): ProgramLog {
  const program = libbpf().findProgram(object, name);
  if (program === null) throw new Error(`the object has no program "${name}"`);
  const buffer = Buffer.alloc(LOG_BYTES);
  libbpf().setLogBuffer(program, buffer, buffer.length);
  return { name, buffer };
}

function loadError(plan: ObjectPlan, errno: number, logs: readonly ProgramLog[]): Error {
  const told = logs.map(({ name, buffer }) => verifierWords(name, buffer)).filter((text) => text);
  const hint = told.length > 0 ? told.join('\n') : hintFor(errno);
  return new KernelError(`loading ${plan.path} into the kernel`, errno, hint);
}

function verifierWords(name: string, buffer: Buffer): string {
  const text = buffer.toString('latin1', 0, buffer.indexOf(0)).trim();
  if (text === '' || text.startsWith('processed ')) return '';
  return `the verifier on ${name}:\n${text.split('\n').slice(-LOG_LINES_TOLD).join('\n')}`;
}

function hintFor(errno: number): string {
  if (errno === 1 || errno === 13)
    return 'CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed (and, before 5.8, CAP_SYS_ADMIN)';
  if (errno === EINVAL)
    return 'a pinned map may be of another shape than the object’s (then its layout version should be another), or the kernel may be too old';
  return '';
}
