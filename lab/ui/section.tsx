/** One part of the page: a heading that can be linked to, and its controls. */
import type { ComponentChildren } from 'preact';

export function Section(props: {
  id: string;
  title: string;
  /** One sentence about the content. */
  lead?: ComponentChildren;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  const { id, title, lead, aside, children } = props;
  return (
    <section id={id} class="part" aria-labelledby={`${id}-title`}>
      <div class="part-head">
        <h2 id={`${id}-title`} tabIndex={-1}>
          {title}
        </h2>
        {aside}
      </div>
      {lead && <p class="lead">{lead}</p>}
      {children}
    </section>
  );
}
