/** Files as a source of policy: one set that somebody wrote, taken as a whole or refused as a whole. */
import type { Limits } from '../../../model/limits.ts';
import type { Timers } from '../../../platform/platform.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import type { PolicySink, PolicySource } from '../source.ts';
import { safelyDecoded } from './decode_bundle.ts';
import { DecodedFiles } from './decoded_files.ts';
import { PolicyFiles, RESTLESS } from './policy_files.ts';
import type { SourceBundle } from './source_bundle.ts';
import { unfinishedFiles } from './unfinished_files.ts';

/** Of the configuration: which files, and how they are decoded. */
export interface FileSettings {
  readonly policyPaths: readonly string[];
  readonly endpointsPath: string | null;
  readonly secretsPath: string | null;
  readonly hasNodeLabels: boolean;
  readonly limits: Limits;
}

export interface FileSourceOptions {
  readonly decode: DecodeOptions;
  /** The first read waits until the files rest; absent: it is made at once. */
  readonly isRestAwaited?: boolean;
}

interface Refresh {
  readonly sink: PolicySink;
  readonly done: () => void;
  /** Reads until it was asked for. */
  readonly readCount: number;
}

/** The files that a configuration names. `stdin`: what standard input said to an earlier reader of it. */
export function configuredFiles(
  settings: FileSettings,
  timers: Timers,
  stdin: string | null = null,
): PolicyFiles {
  const { policyPaths, endpointsPath, secretsPath, hasNodeLabels, limits } = settings;
  return new PolicyFiles({
    policies: policyPaths,
    endpoints: endpointsPath,
    secrets: secretsPath,
    hasNodeLabels,
    limits,
    timers,
    stdin,
  });
}

export class FileSource implements PolicySource {
  readonly name = 'files';
  readonly #files: PolicyFiles;
  readonly #options: FileSourceOptions;
  readonly #decoded = new DecodedFiles();
  /** A part of every input. Changed by a set that is rejected: what follows is new, also what was before it. */
  #generation: object = {};
  #readCount = 0;
  #refreshes: Refresh[] = [];
  #isStopped = false;

  constructor(files: PolicyFiles, options: FileSourceOptions) {
    this.#files = files;
    this.#options = options;
  }

  start(sink: PolicySink, seen: string | null = null): void {
    const begin = (): void => {
      if (seen === null || !this.#files.passOver(seen)) this.#read(sink);
      // Whoever is told of a bad start may end it there.
      if (this.#isStopped) return;
      this.#files.watch(
        () => this.#read(sink),
        () => sink.notice(RESTLESS),
      );
    };
    if (this.#options.isRestAwaited === true) this.#files.whenSettled(begin);
    else begin();
  }

  refresh(sink: PolicySink, done: () => void): void {
    this.#refreshes.push({ sink, done, readCount: this.#readCount });
    this.#files.whenSettled(this.#refresh);
  }

  stop(): void {
    this.#isStopped = true;
    this.#files.stop();
    this.#refreshes = [];
  }

  /** One function, so that one that waits already is not added again. */
  readonly #refresh = (): void => {
    const refreshes = this.#refreshes;
    this.#refreshes = [];
    for (const { sink, done, readCount } of refreshes) {
      const { fingerprint } = this.#files;
      // A change that was seen meanwhile may have been read just now.
      const isRead = this.#readCount > readCount && fingerprint !== null;
      if (!isRead || !this.#files.passOver(fingerprint)) this.#read(sink);
      done();
    }
  };

  #read(sink: PolicySink): void {
    this.#readCount += 1;
    const read = this.#files.read(() => sink.reading(this.#files.fingerprint ?? ''));
    switch (read.kind) {
      case 'moving':
        sink.moving(read.message);
        break;
      case 'error':
        sink.failed(read.message);
        break;
      case 'ok':
        this.#offer(sink, read.bundle);
        break;
    }
  }

  #offer(sink: PolicySink, texts: SourceBundle): void {
    // Also the first time: what is in force may be of a process before us.
    const unfinished = unfinishedFiles(texts);
    if (unfinished.length > 0) {
      sink.refused(unfinished);
      return;
    }
    const decoded = safelyDecoded(texts, this.#options.decode, this.#decoded);
    if (decoded.kind === 'rejected') {
      this.#generation = {};
      sink.refused(decoded.problems);
      return;
    }
    const { input } = decoded;
    const parts = [...input.parts, this.#generation];
    const result = sink.offer({ input: { ...input, parts }, texts });
    if (result.kind === 'rejected') this.#generation = {};
  }
}
