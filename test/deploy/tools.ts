/** What the checks of deploy/ have in common: commands, Go's tools, the count at the end. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const KUSTOMIZE_FOLDER = join(ROOT, 'deploy/kustomize');
export const CHART = join(ROOT, 'deploy/helm/sallyport');

/** Pinned, so that the checks do not change under us. */
const TOOLS = {
  kustomize: 'sigs.k8s.io/kustomize/kustomize/v5@v5.7.1',
  helm: 'helm.sh/helm/v3/cmd/helm@v3.21.4',
} as const;

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function run(
  command: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
  } = {},
): Said {
  const [program = '', ...args] = command;
  const { stdout, stderr, status, error } = spawnSync(program, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  if (error !== undefined) return { code: 127, stdout: '', stderr: error.message };
  return { code: status ?? 128, stdout, stderr };
}

/** Standard output, or an error that says which command failed with what. */
export function must(command: readonly string[], options: Parameters<typeof run>[1] = {}): string {
  const { code, stdout, stderr } = run(command, options);
  if (code === 0) return stdout;
  const tail = `${stdout}${stderr}`.trimEnd().split('\n').slice(-20).join('\n');
  throw new Error(`${command.join(' ')}: exit code ${code}\n${tail}`);
}

/** Builds one of Go's tools into `folder`; throws when there is no Go: what did not run proves nothing. */
export function goTool(name: keyof typeof TOOLS, folder: string): string {
  must([goCommand(), 'install', TOOLS[name]], { env: { GOBIN: folder, GOFLAGS: '-mod=mod' } });
  return join(folder, name);
}

export function goCommand(): string {
  const go = process.env['GO'] ?? 'go';
  const { code, stderr } = run([go, 'version']);
  if (code !== 0) throw new Error(`Go is needed: ${stderr}`);
  return go;
}

/** The documents of a YAML text, empty ones left out. */
export function documentsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map((document) => {
      const [problem] = document.errors;
      if (problem !== undefined) throw problem;
      return document.toJS() as Manifest | null;
    })
    .filter((one) => one !== null);
}

/** Of unknown shape below: every check names what it expects. */
// biome-ignore lint/suspicious/noExplicitAny: manifests are read, and what is not there fails the check
export type Manifest = Record<string, any>;

export class Count {
  passed = 0;
  failed = 0;

  /** Runs a check; what it throws is its failure. */
  async check(name: string, body: () => void | Promise<void>): Promise<void> {
    try {
      await body();
      this.passed += 1;
      console.log(`ok    ${name}`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL  ${name}\n      ${textOf(error).replaceAll('\n', '\n      ')}`);
    }
  }

  /** The last line, and the exit code. */
  finish(): void {
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1;
    console.log(`${this.passed} passed, ${this.failed} failed`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
