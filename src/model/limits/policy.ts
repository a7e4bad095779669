import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of what policy authors write, and of the work that a verdict may cost. */
export const POLICY_LIMITS = {
  policyBytesMax: spec(64 * MIB, 1 * KIB, 1024 * MIB, 'bytes of all policy files together'),
  policyFileCountMax: spec(100_000, 1, 10_000_000, 'policy files in force together'),
  policyFolderCountMax: spec(
    10_000,
    1,
    1_000_000,
    'folders that are looked into for policy files, those below the named ones included',
  ),
  yamlAliasCountMax: spec(100, 0, 100_000, 'expanded aliases of one YAML document'),
  regexBytesMax: spec(4 * KIB, 16, 1 * MIB, 'bytes of one regular expression'),
  regexMemoryBytesMax: spec(
    1 * MIB,
    16 * KIB,
    256 * MIB,
    'memory of one compiled regular expression',
  ),
  regexProgramSizeMax: spec(
    16_384,
    16,
    1_000_000,
    'instructions of the program of one regular expression, as counted before it is compiled',
  ),
  regexWidthMax: spec(
    128,
    1,
    100_000,
    'places of one regular expression in which its match can be at once, where its automaton is too large to be kept',
  ),
  regexSubjectBytesMax: spec(
    64 * KIB,
    256,
    1 * MIB,
    'bytes of a value that a regular expression is asked about; a longer one denies (regex-budget)',
  ),
  verdictWorkMax: spec(
    3_000_000,
    10_000,
    1_000_000_000,
    'work of one verdict on patterns and fields, a unit about a nanosecond; more of it denies (regex-budget)',
  ),
  regexCacheCountMax: spec(
    20_000,
    1,
    10_000_000,
    'compiled patterns that are kept, so that a reload compiles only new ones',
  ),
  regexSetMemoryBytesMax: spec(
    64 * MIB,
    64 * KIB,
    2048 * MIB,
    'memory of one pattern set, of which a port can have several; a set that needs more denies',
  ),
  identityCountMax: spec(1_000_000, 1, 16_000_000, 'identities known at once'),
  viewCacheCountMax: spec(4096, 1, 1_000_000, 'cached (port, remote) views of one port policy'),
  reloadDelayMs: spec(100, 0, 60 * SECOND, 'quiet time after a file change before it is read'),
  policyTurnMs: spec(
    3,
    1,
    1 * SECOND,
    'work of a worker on a new policy before traffic has its turn; what cannot be put down takes longer',
  ),
  policyCheckTimeoutMs: spec(
    120 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'reading and checking one policy set; one that takes longer is rejected',
  ),
  policyMemoryBytesMax: spec(
    2048 * MIB,
    64 * MIB,
    64 * 1024 * MIB,
    'memory in which a proxy checks policy sets; one that needs more is rejected',
  ),
  policyProblemCountMax: spec(
    500,
    1,
    100_000,
    'problems, and warnings, of one policy set that a proxy tells; the others are counted',
  ),
  reloadPollIntervalMs: spec(
    1 * SECOND,
    50,
    1 * HOUR,
    'between two looks at watched files, for changes that the system does not report',
  ),
  askedLabelSetCountMax: spec(
    4096,
    1,
    1_000_000,
    'label sets that questions asked about and that have an identity for it',
  ),
} as const;
