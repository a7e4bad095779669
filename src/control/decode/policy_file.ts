/** One text of policies → decoded policies. YAML (several documents) and JSON. */
import type { DecodeOptions } from './context.ts';
import { DocumentsDecoder } from './documents_decoder.ts';
import type { DecodedPolicies } from './policy_document.ts';
import type { Problem } from './problem.ts';
import { readYamlDocuments } from './yaml_fields.ts';

const KUSTOMIZATION = /(^|\/)kustomization\.ya?ml$/;

export function decodePolicyFile(
  source: { readonly path: string; readonly text: string },
  options: DecodeOptions,
): DecodedPolicies {
  const isKustomization = KUSTOMIZATION.test(source.path);
  const decoder = new DocumentsDecoder({ ...options, isKustomization });
  for (const fields of readYamlDocuments(source, options.limits)) decoder.add(fields);
  if (decoder.problems.length > 0) decoder.problems.push(...templateProblem(source));
  return decoder;
}

/** The usual reason when nothing in a file makes sense. */
function templateProblem(source: { readonly path: string; readonly text: string }): Problem[] {
  const before = source.text.split('{{', 1)[0] ?? '';
  if (before.length === source.text.length) return [];
  const lines = before.split('\n');
  return [
    {
      place: {
        kind: 'file',
        path: source.path,
        line: lines.length,
        column: (lines.at(-1)?.length ?? 0) + 1,
      },
      field: '',
      message: 'has "{{": a template is no policy, it must be rendered first',
    },
  ];
}
