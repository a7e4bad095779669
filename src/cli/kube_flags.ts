/** The flags by which a verb asks a Kubernetes cluster instead of files, and what does not go with them. */
import type { Args, FlagSpec } from './args.ts';

/** Which cluster. */
export const ACCESS_FLAGS: readonly FlagSpec[] = [
  { name: 'context', value: 'NAME', about: 'with --kube: the context of the kubeconfig' },
  {
    name: 'kubeconfig',
    value: 'FILE',
    about: 'with --kube: instead of that of KUBECONFIG or ~/.kube/config',
  },
];

/** `namespaceAbout`: what it is for in that verb. */
export function kubeFlags(about: string, namespaceAbout: string): readonly FlagSpec[] {
  return [
    { name: 'kube', about },
    ...ACCESS_FLAGS,
    { name: 'namespace', short: 'n', value: 'NAME', about: `with --kube: ${namespaceAbout}` },
  ];
}

/** Of names without one. */
export const NAMESPACE_OF_NAMES =
  'the namespace of names that have none (default: that of the context)';

/** What is wrong with these flags where no cluster is asked; null: nothing. */
export function kubeFlagProblem(args: Args): string | null {
  if (args.has('kube')) return null;
  const alone = ['context', 'kubeconfig', 'namespace'].find((name) => args.has(name));
  return alone === undefined ? null : `--${alone} says which cluster; it goes with --kube`;
}
