/** xterm.js under a strict Content-Security-Policy: a document that makes no <style> element and no style attribute. */
export interface StrictDocument {
  readonly document: Document;
  /** Runs `open` while the page's own document makes such elements too: a part of xterm.js 6.0 asks that one. */
  during(open: () => void): void;
  dispose(): void;
}

/**
 * A document for xterm.js under a strict Content-Security-Policy. Its DOM renderer writes rules into <style> elements and
 * colours into style attributes, both of which `style-src 'self'` refuses. The same through the object model is allowed:
 * rules in a constructed sheet, colours by `cssText`. Everything else is the page's own document.
 */
export function strictDocument(): StrictDocument {
  const sheets: CSSStyleSheet[] = [];
  const original = (name: string): HTMLElement => Document.prototype.createElement.call(document, name);

  const styleElement = (): HTMLElement => {
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    // Not a <style>: that one would be refused, and reported, as soon as it has a text.
    const element = original('span');
    element.hidden = true;
    Object.defineProperty(element, 'textContent', { set: (css: string) => sheet.replaceSync(css) });
    return element;
  };

  const create = (name: string): HTMLElement => {
    if (name === 'style') return styleElement();
    const element = original(name);
    if (name === 'span') {
      element.setAttribute = (attribute, value) => {
        if (attribute === 'style') element.style.cssText = value;
        else Element.prototype.setAttribute.call(element, attribute, value);
      };
    }
    return element;
  };

  const stand = new Proxy(document, {
    get(target, name) {
      if (name === 'createElement') return create;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    document: stand,
    during(open) {
      document.createElement = create as typeof document.createElement;
      try {
        open();
      } finally {
        Reflect.deleteProperty(document, 'createElement');
      }
    },
    dispose() {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.includes(sheet));
    },
  };
}
