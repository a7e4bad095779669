/** The texts of one consistent read of files. */

export interface SourceText {
  /** A path, or what stands for it in messages. */
  readonly path: string;
  readonly text: string;
}

export interface SourceBundle {
  readonly policies: readonly SourceText[];
  readonly endpoints: SourceText | null;
  readonly secrets: SourceText | null;
  /** Rules and identities know the labels of nodes (Cilium's enable-node-selector-labels); absent: they do not. */
  readonly hasNodeLabels?: boolean;
}

/** Without policies and without endpoints there is nobody to allow anything to. */
export const EMPTY_BUNDLE: SourceBundle = { policies: [], endpoints: null, secrets: null };
